//! Sixteen numbers at a time, on AVX-512, on AVX2 and on any processor.
//!
//! Every form does the same operations on the same lanes in the same order, so a row of attention has the same bits whatever the size of
//! the tile it was computed in. The two forms for x86-64 fuse multiplications with additions and agree with each other; the portable one
//! does not where the processor has no such instruction, so there the last bits differ.
#![expect(unsafe_code, reason = "vector instructions are unsafe unless the processor has them, which the caller vouches for")]
#![expect(clippy::inline_always, reason = "what is not inlined into a function for AVX is not compiled for AVX")]

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Numbers in a vector.
pub(super) const LANES: usize = 16;

/// A vector of 32-bit floats.
///
/// # Safety
/// All functions require that the processor has the instructions that the type is named for; pointers must be valid for [`LANES`] numbers.
pub(super) trait Lanes: Copy {
    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn load_half(from: *const f16) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self × factor + addend`
    unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self;
}

/// A form in which keys and values are kept.
pub(super) trait Stored: Copy + Send + Sync + 'static {
    const ZERO: Self;
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    /// Converts a row. Magnitudes beyond what the form can hold become its largest.
    fn keep(row: &mut [f32], kept: &mut [Self]);
}

impl Stored for f32 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        // SAFETY: As the caller vouches.
        unsafe { L::load(from) }
    }

    fn keep(row: &mut [f32], kept: &mut [Self]) {
        kept.copy_from_slice(row);
    }
}

impl Stored for f16 {
    const ZERO: Self = Self::ZERO;

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        // SAFETY: As the caller vouches.
        unsafe { L::load_half(from) }
    }

    fn keep(row: &mut [f32], kept: &mut [Self]) {
        for value in row.iter_mut() {
            *value = value.clamp(Self::MIN.to_f32_const(), Self::MAX.to_f32_const());
        }
        kept.convert_from_f32_slice(row);
    }
}

/// For any processor.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Lanes for Portable {
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; LANES])
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: The caller vouches for the pointer.
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> Self {
        // SAFETY: The caller vouches for the pointer.
        Self(unsafe { from.cast::<[f16; LANES]>().read_unaligned() }.map(widen))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: The caller vouches for the pointer.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self {
        let mut result = addend.0;
        for ((result, left), right) in result.iter_mut().zip(self.0).zip(factor.0) {
            // Without an instruction for it, a fused operation would be a call of the C library's.
            *result = if cfg!(target_arch = "aarch64") { left.mul_add(right, *result) } else { left * right + *result };
        }
        Self(result)
    }
}

/// Widens by moving bits and one exact multiplication, which the compiler does for many at once.
#[inline(always)]
fn widen(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    let magnitude = (bits & 0x7fff) << 13;
    // 2^112 moves the exponent from a half's bias, 15, to a float's, 127. What is not a number stays none.
    let scaled = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let finite = if magnitude < 0x1f << 23 { scaled } else { magnitude | 0xff << 23 };
    f32::from_bits(finite | (bits & 0x8000) << 16)
}

#[cfg(target_arch = "x86_64")]
pub(super) use self::x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm_loadu_si128, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::{LANES, Lanes, f16};

    /// For processors with AVX-512F.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    // SAFETY (of all below): The caller vouches for the processor and the pointers.
    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn zero() -> Self {
            Self(unsafe { _mm512_setzero_ps() })
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn load_half(from: *const f16) -> Self {
            Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
        }
    }

    /// For processors with AVX2, FMA and F16C.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256, __m256);

    const HALF: usize = LANES / 2;

    // SAFETY (of all below): The caller vouches for the processor and the pointers.
    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { Self(_mm256_setzero_ps(), _mm256_setzero_ps()) }
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(HALF))) }
        }

        #[inline(always)]
        unsafe fn load_half(from: *const f16) -> Self {
            unsafe {
                let [low, high] = [from, from.add(HALF)].map(|from| _mm_loadu_si128(from.cast()));
                Self(_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
            }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(HALF), self.1);
            }
        }

        #[inline(always)]
        unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let widened = widen(half);
            assert!(widened.to_bits() == half.to_f32_const().to_bits() || half.is_nan() && widened.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn magnitudes_beyond_a_halfs_range_become_its_largest() {
        let mut kept = [f16::ZERO; 3];
        f16::keep(&mut [1e9, -1e9, 0.5], &mut kept);
        assert_eq!(kept, [f16::MAX, f16::MIN, f16::from_f32(0.5)]);
    }
}
