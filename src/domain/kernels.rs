//! Loops over dense vectors, compiled for several processor generations and dispatched at run
//! time. All versions add in the same order, so that every machine computes the same result.

use multiversion::multiversion;

/// Independent partial sums of a dot product: they fill whole registers and hide the latency of an
/// addition.
const LANES: usize = 32;

/// Inner product of two vectors of equal length.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    dispatched_dot(a, b)
}

/// Adds `weight` times `x` to `sums`.
#[inline]
pub fn add(sums: &mut [f32], weight: f32, x: &[f32]) {
    dispatched_add(sums, weight, x);
}

/// Adds `Σ weight · ⟨y, x⟩ · y` to `sums`, where `y` are the rows of `vectors` named by `rows`,
/// each as long as `x`: the product of a least-squares system's matrix, which is never built, with
/// `x`.
#[inline]
pub fn add_outer(sums: &mut [f32], rows: &[u32], weights: &[f32], vectors: &[f32], x: &[f32]) {
    dispatched_add_outer(sums, rows, weights, vectors, x);
}

/// Replaces each value x by e^(x + shift), with its shift, and returns their sum. Values above 80 or below −80 are
/// taken for these.
#[inline]
pub fn exp_sum(values: &mut [f32], shifts: &[f32]) -> f32 {
    dispatched_exp_sum(values, shifts)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn dispatched_exp_sum(values: &mut [f32], shifts: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (values, shifts) in values.chunks_mut(LANES).zip(shifts.chunks(LANES)) {
        for ((value, shift), sum) in values.iter_mut().zip(shifts).zip(&mut sums) {
            *value = exp_here(*value + shift);
            *sum += *value;
        }
    }
    sums.iter().sum()
}

/// e^x with a relative error below 1e-6, in steps that fill registers: 2^n · e^r, with n whole and r at most ln 2 / 2.
#[inline(always)]
fn exp_here(x: f32) -> f32 {
    /// Added to a number, leaves its nearest whole number in the last bits.
    const WHOLE: f32 = 12_582_912.0;
    let x = x.clamp(-80.0, 80.0);
    let rounded = x * std::f32::consts::LOG2_E + WHOLE;
    let n = rounded - WHOLE;
    // ln 2 in two parts, the first of which n multiplies exactly.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let of_r = series.iter().fold(0.0, |sum, term| sum * r + term);
    of_r * f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3F80_0000))
}

/// Inner product of quantized vectors; see [`dot_quantized_here`].
#[inline]
pub fn dot_quantized(a: &[i8], b: &[i16]) -> i32 {
    dispatched_dot_quantized(a, b)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn dispatched_dot_quantized(a: &[i8], b: &[i16]) -> i32 {
    dot_quantized_here(a, b)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn dispatched_dot(a: &[f32], b: &[f32]) -> f32 {
    dot_here(a, b)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn dispatched_add(sums: &mut [f32], weight: f32, x: &[f32]) {
    add_here(sums, weight, x);
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn dispatched_add_outer(
    sums: &mut [f32],
    rows: &[u32],
    weights: &[f32],
    vectors: &[f32],
    x: &[f32],
) {
    for (&row, &weight) in rows.iter().zip(weights) {
        let y = &vectors[row as usize * x.len()..][..x.len()];
        add_here(sums, weight * dot_here(y, x), y);
    }
}

#[inline(always)]
fn add_here(sums: &mut [f32], weight: f32, x: &[f32]) {
    sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += weight * x);
}

/// [`dot`], inlined into a caller that is itself dispatched: for loops that dispatch once, not at
/// every product.
#[inline(always)]
pub fn dot_here(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }

    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    a_rest.iter().zip(b_rest).fold(sums[0], |sum, (x, y)| sum + x * y)
}

/// Inner product of quantized vectors, inlined into a caller that is itself dispatched. With codes
/// below 2^7 and 2^12, up to 4,096 dimensions do not overflow.
#[inline(always)]
pub fn dot_quantized_here(a: &[i8], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_version_computes_the_same(
            pairs in prop::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..300),
            weight in -2.0f32..2.0,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            prop_assert_eq!(dot(&a, &b).to_bits(), dot_here(&a, &b).to_bits());
            let exact: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-4);
            let mut powers = a.iter().map(|x| x * 90.0).collect::<Vec<_>>();
            let sum = exp_sum(&mut powers, &b);
            let exact: Vec<f64> = a.iter().zip(&b).map(|(x, y)| f64::from(x * 90.0 + y)).collect();
            for (power, x) in powers.iter().zip(&exact) {
                let exact = x.clamp(-80.0, 80.0).exp();
                prop_assert!((f64::from(*power) - exact).abs() <= 1e-6 * exact, "e^{x}: {power}");
            }
            let sum_of: f32 = powers.iter().sum();
            prop_assert!((sum - sum_of).abs() <= 1e-4 * sum_of);

            let mut sums = a.clone();
            add(&mut sums, weight, &b);

            for at in 0..a.len() {
                prop_assert_eq!(sums[at], a[at] + weight * b[at]);
            }

            let vectors = [b.clone(), a.clone()].concat();
            let mut outer = a.clone();
            add_outer(&mut outer, &[1, 0], &[weight, 2.0], &vectors, &b);
            let mut one_by_one = a.clone();
            add(&mut one_by_one, weight * dot(&a, &b), &a);
            add(&mut one_by_one, 2.0 * dot(&b, &b), &b);
            prop_assert_eq!(outer, one_by_one);
        }
    }
}
