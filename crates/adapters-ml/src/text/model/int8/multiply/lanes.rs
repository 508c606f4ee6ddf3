//! Sixteen sums of products of bytes at a time, on AVX-512 VNNI, on AVX-VNNI and on any processor.
//!
//! All forms compute the same bits: integers are exact, and what follows is one rounding each, a conversion, two multiplications and an
//! addition, none of them fused.
#![expect(unsafe_code, reason = "vector instructions are unsafe unless the processor has them, which the caller vouches for")]
#![expect(clippy::inline_always, reason = "what is not inlined into a function for VNNI is not compiled for VNNI")]

use super::layout::{COLUMNS, QUAD};

#[cfg(target_arch = "x86_64")]
pub(super) use self::x86::{Avx, Avx512};

/// What integers are multiplied with when all are summed: a scale a column, the row's scale; and what is added then.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    /// Of [`COLUMNS`] columns.
    pub(super) column_scales: *const f32,
    pub(super) row_scale: f32,
    /// Of [`COLUMNS`] columns.
    pub(super) bias: Option<*const f32>,
}

/// A vector of [`COLUMNS`] 32-bit integers, or of as many times four bytes.
///
/// # Safety
/// All functions require that the processor has the instructions that the type is named for; pointers must be valid for as many numbers.
pub(super) trait Lanes: Copy {
    unsafe fn load(from: *const i32) -> Self;
    unsafe fn load_bytes(from: *const i8) -> Self;
    unsafe fn splat(value: i32) -> Self;
    /// Adds four products of unsigned with signed bytes to each sum.
    unsafe fn add_products(self, unsigned: Self, signed: Self) -> Self;
    /// Asks for memory that will be read soon. It need not exist.
    unsafe fn ask_for(_memory: *const i8) {}
    /// Writes the sums as floats, scaled.
    unsafe fn finish(self, finish: Finish, to: *mut f32);
}

/// For any processor: for those that have neither form, ONNX Runtime's operator is faster.
#[derive(Clone, Copy)]
pub(super) struct Portable([i32; COLUMNS]);

// SAFETY (of all below): The caller vouches for the pointers.
impl Lanes for Portable {
    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        Self(unsafe { from.cast::<[i32; COLUMNS]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> Self {
        let quads = unsafe { from.cast::<[[u8; QUAD]; COLUMNS]>().read_unaligned() };
        Self(quads.map(i32::from_le_bytes))
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        Self([value; COLUMNS])
    }

    #[inline(always)]
    unsafe fn add_products(self, unsigned: Self, signed: Self) -> Self {
        let quads = unsigned.0.map(i32::to_le_bytes).into_iter().zip(signed.0.map(i32::to_le_bytes));
        let products = quads.map(|(unsigned, signed)| {
            let pairs = unsigned.into_iter().zip(signed.map(u8::cast_signed));
            pairs.map(|(unsigned, signed)| i32::from(unsigned) * i32::from(signed)).sum::<i32>()
        });
        let mut sums = self.0;
        sums.iter_mut().zip(products).for_each(|(sum, products)| *sum = sum.wrapping_add(products));
        Self(sums)
    }

    #[inline(always)]
    unsafe fn finish(self, finish: Finish, to: *mut f32) {
        for (column, sum) in self.0.into_iter().enumerate() {
            unsafe {
                #[expect(clippy::cast_precision_loss, reason = "rounded to the nearest, as the vector instructions do")]
                let scaled = sum as f32 * *finish.column_scales.add(column) * finish.row_scale;
                *to.add(column) = finish.bias.map_or(scaled, |bias| scaled + *bias.add(column));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_dpbusd_avx_epi32, _mm256_loadu_ps,
        _mm256_loadu_si256, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_storeu_ps, _mm512_add_ps,
        _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32,
        _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::{Finish, Lanes};
    use crate::text::model::int8::multiply::layout::{COLUMNS, QUAD};

    /// For processors with AVX-512 VNNI.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512i);

    // SAFETY (of all below): The caller vouches for the processor and the pointers.
    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn load(from: *const i32) -> Self {
            Self(unsafe { _mm512_loadu_si512(from.cast()) })
        }

        #[inline(always)]
        unsafe fn load_bytes(from: *const i8) -> Self {
            Self(unsafe { _mm512_loadu_si512(from.cast()) })
        }

        #[inline(always)]
        unsafe fn splat(value: i32) -> Self {
            Self(unsafe { _mm512_set1_epi32(value) })
        }

        #[inline(always)]
        unsafe fn ask_for(memory: *const i8) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(memory) }
        }

        #[inline(always)]
        unsafe fn add_products(self, unsigned: Self, signed: Self) -> Self {
            Self(unsafe { _mm512_dpbusd_epi32(self.0, unsigned.0, signed.0) })
        }

        #[inline(always)]
        unsafe fn finish(self, finish: Finish, to: *mut f32) {
            unsafe {
                let product = _mm512_mul_ps(_mm512_cvtepi32_ps(self.0), _mm512_loadu_ps(finish.column_scales));
                let scaled = _mm512_mul_ps(product, _mm512_set1_ps(finish.row_scale));
                _mm512_storeu_ps(to, finish.bias.map_or(scaled, |bias| _mm512_add_ps(scaled, _mm512_loadu_ps(bias))));
            }
        }
    }

    /// For processors with AVX-VNNI.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx(__m256i, __m256i);

    const HALF: usize = COLUMNS / 2;

    // SAFETY (of all below): The caller vouches for the processor and the pointers.
    impl Lanes for Avx {
        #[inline(always)]
        unsafe fn load(from: *const i32) -> Self {
            unsafe { Self(_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(HALF).cast())) }
        }

        #[inline(always)]
        unsafe fn load_bytes(from: *const i8) -> Self {
            unsafe { Self(_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(QUAD * HALF).cast())) }
        }

        #[inline(always)]
        unsafe fn splat(value: i32) -> Self {
            unsafe { Self(_mm256_set1_epi32(value), _mm256_set1_epi32(value)) }
        }

        #[inline(always)]
        unsafe fn ask_for(memory: *const i8) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(memory) }
        }

        #[inline(always)]
        unsafe fn add_products(self, unsigned: Self, signed: Self) -> Self {
            unsafe {
                Self(_mm256_dpbusd_avx_epi32(self.0, unsigned.0, signed.0), _mm256_dpbusd_avx_epi32(self.1, unsigned.1, signed.1))
            }
        }

        #[inline(always)]
        unsafe fn finish(self, finish: Finish, to: *mut f32) {
            for (half, sums) in [self.0, self.1].into_iter().enumerate() {
                unsafe {
                    let column = half * HALF;
                    let product = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(finish.column_scales.add(column)));
                    let scaled = _mm256_mul_ps(product, _mm256_set1_ps(finish.row_scale));
                    let bias = finish.bias.map(|bias| _mm256_loadu_ps(bias.add(column)));
                    _mm256_storeu_ps(to.add(column), bias.map_or(scaled, |bias| _mm256_add_ps(scaled, bias)));
                }
            }
        }
    }
}
