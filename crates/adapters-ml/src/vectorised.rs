//! Loops over rows of numbers, compiled for the processor they run on.
//!
//! The server is built for any processor of its kind, whose vectors have four numbers, and runs on ones that have eight or sixteen. A
//! function written within `vectorised!` is compiled three times and the best one is chosen as it is called. All compute the same
//! numbers, bit for bit: the operations are the same, in the same order, and none is fused. So a text does not depend on the machine
//! that made it.
//!
//! A module that uses it must allow `unsafe_code` on x86-64 (calling a function compiled for AVX2 is unsafe unless the processor has it,
//! which is asked first) and mark its helpers `#[inline(always)]`: a function that is called is compiled for any processor only.

/// Compiles a function for any processor, for AVX2 and for AVX-512. The body must use fixed lanes and neither calls nor branches in its
/// inner loops, or the compiler cannot turn them into vector instructions.
macro_rules! vectorised {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn any($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    any($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    any($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f") {
                    // SAFETY: The processor has AVX-512.
                    return unsafe { avx512($($argument),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: The processor has AVX2.
                    return unsafe { avx2($($argument),*) };
                }
            }
            any($($argument),*)
        }
    };
}

#[cfg(test)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calling what is compiled for a processor that was asked"))]
#[expect(clippy::inline_always, reason = "the body must be compiled for each processor")]
mod tests {
    /// Multiplications whose results are added are what a compiler might fuse.
    #[inline(always)]
    fn products(row: &[f32]) -> f32 {
        let mut lanes = [0.0_f32; 16];
        for chunk in row.as_chunks::<16>().0 {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane = *lane * 0.9 + value * 1.1;
            }
        }
        lanes.iter().sum()
    }

    vectorised! {
        fn chosen_for_this_processor(row: &[f32]) -> f32 {
            products(row)
        }
    }

    #[test]
    fn the_best_function_for_this_processor_computes_the_same_bits_as_the_one_for_any() {
        let row: Vec<f32> = (0..4096u16).map(|index| (f32::from(index) * 0.37).sin()).collect();
        assert_eq!(chosen_for_this_processor(&row).to_bits(), products(&row).to_bits());
    }
}
