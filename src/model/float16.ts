/**
 * Conversions between f32, f16 (IEEE half) and bf16, rounding to nearest even; overflow gives infinity, NaN stays NaN.
 * 16-bit types are held as their bits.
 */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Added to a float below 2^-14 it leaves the bits of the f16 subnormal (Giesen, "float_to_half_fast3_rtne"). */
const SUBNORMAL_MAGIC_BITS = (127 - 15 + (23 - 10) + 1) << 23;
const SUBNORMAL_MAGIC = 0.5;

/** Bits of an f32 -> bits of the nearest f16. */
export function f32BitsToF16(u: number): number {
  const sign = (u >>> 16) & 0x8000;
  const magnitude = u & 0x7fffffff;
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude < 0x38800000) {
    bits[0] = magnitude;
    float[0] = float[0]! + SUBNORMAL_MAGIC;
    return sign | (bits[0]! - SUBNORMAL_MAGIC_BITS);
  }
  // The exponent's bias changes by 112; a carry out of the mantissa moves to the next exponent, or to infinity.
  return sign | ((magnitude - (112 << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/** Bits of an f32 -> bits of the nearest bf16. */
export function f32BitsToBf16(u: number): number {
  if ((u & 0x7fffffff) > 0x7f800000) return (u >>> 16) | 0x40;
  return (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
}

/** Value of an f16. */
export function f16ToF32(half: number): number {
  const exponent = (half >> 10) & 31;
  const mantissa = half & 0x3ff;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** Value of a bf16. */
export function bf16ToF32(half: number): number {
  bits[0] = half << 16;
  return float[0]!;
}

/** Number -> bits of the nearest f16 (of the nearest f32, when it is not one). */
export function f32ToF16(value: number): number {
  float[0] = value;
  return f32BitsToF16(bits[0]!);
}

/** Number -> bits of the nearest bf16 (of the nearest f32, when it is not one). */
export function f32ToBf16(value: number): number {
  float[0] = value;
  return f32BitsToBf16(bits[0]!);
}

const lazily = <T>(make: () => T): (() => T) => {
  let made: T | undefined;
  return () => (made ??= make());
};

/** Bits of the f32 of every f16. */
export const f16ToF32Table = lazily(() => new Uint32Array(Float32Array.from({ length: 0x10000 }, (_, h) => f16ToF32(h)).buffer));
/** The nearest f16 of every bf16. */
export const bf16ToF16Table = lazily(() => Uint16Array.from({ length: 0x10000 }, (_, h) => f32BitsToF16(h * 0x10000)));
/** The nearest bf16 of every f16. */
export const f16ToBf16Table = lazily(() => Uint16Array.from({ length: 0x10000 }, (_, h) => f32ToBf16(f16ToF32(h))));
