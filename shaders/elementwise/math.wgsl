// Functions that WGSL lacks, or that it lets be less accurate than f32. Polynomials are interpolated at Chebyshev's nodes. `Lanes` is f32
// or a vector of four.

const SQRT_HALF: f32 = 0.70710678;
const SQRT_HALF_OVER_PI: f32 = 0.39894228; // the normal density at 0
const GELU_TANH_SLOPE: f32 = 1.5957691; // 2 sqrt(2 / pi)

// Where exp(-x) is 0 for long, which keeps drivers that scale the argument within f32.
const FAR: f32 = 1e3;

// exp(-|x|), which cannot overflow.
fn exp_down(x: Lanes) -> Lanes {
    return exp(-min(abs(x), Lanes(FAR)));
}

// 1 / (1 + exp(-x)).
fn sigmoid(x: Lanes) -> Lanes {
    let e = exp_down(x);
    return select(e, Lanes(1.0), x >= Lanes(0.0)) / (1.0 + e);
}

// s (1 - s) where s = sigmoid(x), which cancels nowhere.
fn sigmoid_slope(x: Lanes) -> Lanes {
    let e = exp_down(x);
    return e / ((1.0 + e) * (1.0 + e));
}

// s + x s (1 - s) where s = sigmoid(x); at the bound s is 0 or 1.
fn silu_slope(x: Lanes) -> Lanes {
    let t = clamp(x, Lanes(-FAR), Lanes(FAR));
    let e = exp(-abs(t));
    let above = select(e, Lanes(1.0), t >= Lanes(0.0));
    return (above + t * e / (1.0 + e)) / (1.0 + e);
}

// The hyperbolic tangent, because WGSL's own may be off by 1e-5 and overflows on some drivers: by exp(-2|x|), which is below
// half an ulp of the result's 1 at the bound, and around 0, where that cancels, by x + x^3 p(x^2).
fn tanh_bounded(x: Lanes) -> Lanes {
    let t = min(abs(x), Lanes(10.0));
    let s = t * t;
    let p = (((s * -6.2691197e-3 + 2.1110959e-2) * s - 5.3873949e-2) * s + 1.3332915e-1) * s - 3.3333331e-1;
    let e = exp(-2.0 * t);
    return sign(x) * select((1.0 - e) / (1.0 + e), t + t * (s * p), t < Lanes(0.6));
}

// 1 - tanh(x)^2 = 4 e / (1 + e)^2 by e = exp(-2|x|), which cancels nowhere.
fn tanh_slope(x: Lanes) -> Lanes {
    let e = exp(-2.0 * min(abs(x), Lanes(FAR)));
    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}

// The error function within 9e-8: x + x q(x^2) for small |x|, 1 - exp(-p(|x|)) for the rest. Both polynomials were fitted for least
// maximal error, weighted by what an error in them does to the result.
fn erf(x: Lanes) -> Lanes {
    // Beyond 4 the result rounds to 1, and the second polynomial is not fitted.
    let t = min(abs(x), Lanes(4.0));
    let s = t * t;
    let q = ((((s * -6.0903683e-4 + 5.0119646e-3) * s - 2.6778910e-2) * s + 1.1282141e-1) * s - 3.7612525e-1) * s
        + 1.2837915e-1;
    let p = ((((((t * 2.0828522e-5 - 4.3139246e-4) * t + 4.1562496e-3) * t - 2.5080603e-2) * t + 1.0822036e-1) * t
        + 6.3340086e-1) * t + 1.1294883) * t - 1.6920309e-4;
    return sign(x) * select(Lanes(1.0) - exp(-p), t + t * q, t < Lanes(0.9));
}

// Phi(x) + x phi(x). Beyond the bound the density is below 1e-40, and a square may overflow.
fn gelu_slope(x: Lanes) -> Lanes {
    let t = clamp(x, Lanes(-14.0), Lanes(14.0));
    return 0.5 * (1.0 + erf(t * SQRT_HALF)) + SQRT_HALF_OVER_PI * t * exp(-0.5 * t * t);
}

// That of gelu where its result lies within the bounds.
fn gelu_clipped_slope(x: Lanes, bounds: vec2<f32>) -> Lanes {
    let y = 0.5 * x * (1.0 + erf(x * SQRT_HALF));
    return select(Lanes(0.0), gelu_slope(x), (y >= Lanes(bounds.x)) & (y <= Lanes(bounds.y)));
}

// (x - mean) / (deviation sqrt(2)).
fn laplace_argument(x: Lanes) -> Lanes {
    return (x - 0.707107) * 2.5066264;
}

// The normal density. Beyond the bound it is below 1e-40, and a square may overflow.
fn laplace_slope(x: Lanes) -> Lanes {
    let t = clamp(laplace_argument(x), Lanes(-10.0), Lanes(10.0));
    return 1.4142125 * exp(-t * t);
}

// 2 u of (1 + tanh(u)) / 2 = sigmoid(2 u). Beyond 20 the sigmoid is 0 or 1, and a cube may overflow.
fn gelu_tanh_argument(x: Lanes) -> Lanes {
    let t = clamp(x, Lanes(-20.0), Lanes(20.0));
    return GELU_TANH_SLOPE * (t + 0.044715 * (t * t * t));
}

// s + x s', where s = sigmoid(2 u) and s' = s (1 - s) 2 u'.
fn gelu_tanh_slope(x: Lanes) -> Lanes {
    let t = clamp(x, Lanes(-20.0), Lanes(20.0));
    let v = gelu_tanh_argument(x);
    return sigmoid(v) + t * sigmoid_slope(v) * GELU_TANH_SLOPE * (1.0 + 0.134145 * (t * t));
}

// log(1 + e) for e from 0 to 1: 2 atanh(s) for s = e / (2 + e), by 2 s + s^3 p(s^2).
fn log_one_plus(e: Lanes) -> Lanes {
    let s = e / (2.0 + e);
    let t = s * s;
    let p = (((t * 2.32303063e-1 + 2.17054144e-1) * t + 2.85924271e-1) * t + 3.99997050e-1) * t + 6.66666673e-1;
    return 2.0 * s + s * (t * p);
}

// exp(x) - 1 for x up to 0, around which it is x + x^2 p(x).
fn exp_minus_one(x: Lanes) -> Lanes {
    let t = max(x, Lanes(-FAR));
    let p = ((((t * 1.98919775e-4 + 1.39345318e-3) * t + 8.33331003e-3) * t + 4.16664569e-2) * t + 1.66666667e-1) * t
        + 5.00000001e-1;
    return select(exp(t) - 1.0, t + t * t * p, t > Lanes(-0.35));
}

// log(1 + exp(x)).
fn softplus_of(x: Lanes) -> Lanes {
    return max(x, Lanes(0.0)) + log_one_plus(exp_down(x));
}

// x tanh(softplus(x)): the tangent is n / (n + 2) for n = exp(x) (exp(x) + 2), of positive x over exp(2 x).
fn mish_of(x: Lanes) -> Lanes {
    let e = exp_down(x);
    let n = select(e * (e + 2.0), 1.0 + 2.0 * e, x >= Lanes(0.0));
    return x * n / (n + select(Lanes(2.0), 2.0 * e * e, x >= Lanes(0.0)));
}

// t + x (1 - t^2) sigmoid(x), where t is the tangent.
fn mish_slope(x: Lanes) -> Lanes {
    let t = clamp(x, Lanes(-FAR), Lanes(FAR));
    let e = exp_down(t);
    let positive = t >= Lanes(0.0);
    let n = select(e * (e + 2.0), 1.0 + 2.0 * e, positive);
    let d = n + select(Lanes(2.0), 2.0 * e * e, positive);
    return n / d + t * (4.0 * (1.0 + e) * select(e, e * e, positive) / (d * d));
}

// x less the nearest multiple of pi / 2, in parts so that products with up to 13 bits are exact, and how many of those it holds.
const HALF_PI_PARTS: vec4<f32> = vec4(1.5703125, 4.837512969970703e-4, 7.549533620476723e-8, 2.5632829e-12);

struct Reduced {
    x: Lanes,
    quarters: Lanes,
}

fn reduced(x: Lanes) -> Reduced {
    let k = round(x * 0.63661977);
    let r = ((x - k * HALF_PI_PARTS.x) - k * HALF_PI_PARTS.y) - k * HALF_PI_PARTS.z - k * HALF_PI_PARTS.w;
    return Reduced(r, k - 4.0 * floor(0.25 * k));
}

// Within 6e-8, for angles up to 8192 either way; WGSL's own may be off by 5e-4, and is not defined beyond pi.
fn sin_reduced(x: Lanes) -> Lanes {
    let r = reduced(x);
    return turned(r.x, r.quarters);
}

fn cos_reduced(x: Lanes) -> Lanes {
    let r = reduced(x);
    return turned(r.x, select(r.quarters + 1.0, Lanes(0.0), r.quarters == Lanes(3.0)));
}

// sin(r + quarters pi / 2) for |r| up to pi / 4.
fn turned(r: Lanes, quarters: Lanes) -> Lanes {
    let s = r * r;
    let p = ((s * 2.72468686e-6 - 1.98400630e-4) * s + 8.33333183e-3) * s - 1.66666667e-1;
    let q = ((s * -2.72978733e-7 + 2.48005746e-5) * s - 1.38888876e-3) * s + 4.16666667e-2;
    let sine = r + r * (s * p);
    let cosine = 1.0 - (0.5 * s - s * s * q);
    let odd = (quarters == Lanes(1.0)) | (quarters == Lanes(3.0));
    let value = select(sine, cosine, odd);
    return select(value, -value, quarters >= Lanes(2.0));
}

// x to the power of a whole number of at most 16, by squares.
fn whole_power(x: Lanes, exponent: f32) -> Lanes {
    var rest = u32(abs(exponent));
    var square = x;
    var product = Lanes(1.0);
    for (var bit = 0u; bit < 5u; bit++) {
        if (rest & 1u) == 1u {
            product *= square;
        }
        square *= square;
        rest >>= 1u;
    }
    if exponent < 0.0 {
        return 1.0 / product;
    }
    return product;
}

// Whole exponents take x of either sign; of others x below 0 has no power.
fn power_of(x: Lanes, exponent: f32) -> Lanes {
    if exponent == trunc(exponent) && abs(exponent) <= 16.0 {
        return whole_power(x, exponent);
    }
    return pow(x, Lanes(exponent));
}

// exponent x^(exponent - 1).
fn power_slope(x: Lanes, exponent: f32) -> Lanes {
    if exponent == 0.0 {
        return Lanes(0.0);
    }
    return exponent * power_of(x, exponent - 1.0);
}
