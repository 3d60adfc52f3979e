// Rows as they travel: `wire` is an array of u32 words; a row is `hidden` elements of type <%= it.wire %>, padded with zeros to whole words.
// A row is taken in quads of 4 elements. Words one by one, because a row need not start at a multiple of 16 bytes.
<% const wide = it.wire === 'f32'; const bf16 = it.wire === 'bf16'; %>

/// What a thread does: piece `piece` of row `row`; groups are counted in lines of 32768.
fn rowAndPiece(group: vec3<u32>, lane: u32) -> vec2<u32> {
  let thread = (group.x + group.y * 32768u) * 64u + lane;
  return vec2<u32>(thread / p.pieces, thread % p.pieces);
}
<% if (it.loads) { %>

fn wireWord(base: u32, word: u32) -> u32 {
  if (word < p.rowWords) { return wire[base + word]; }
  return 0u;
}

/// Elements 4 q .. 4 q + 3 of the row at word `base`; zero where it has no such words.
fn loadQuad(base: u32, q: u32) -> vec4<f32> {
<% if (wide) { %>
  return bitcast<vec4<f32>>(vec4<u32>(wireWord(base, 4u * q), wireWord(base, 4u * q + 1u), wireWord(base, 4u * q + 2u), wireWord(base, 4u * q + 3u)));
<% } else { %>
  let a = wireWord(base, 2u * q);
  let b = wireWord(base, 2u * q + 1u);
<% if (bf16) { %>
  return bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
<% } else { %>
  return vec4<f32>(unpack2x16float(a), unpack2x16float(b));
<% } %>
<% } %>
}
<% } if (it.stores) { %>
<% if (bf16) { %>

/// The upper halves of the bits, rounded to nearest even; NaN stays NaN.
fn toBf16(v: vec4<f32>) -> vec4<u32> {
  let bits = bitcast<vec4<u32>>(v);
  let nearest = (bits + 0x7fffu + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u))) >> vec4<u32>(16u);
  let isNan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
  return select(nearest, (bits >> vec4<u32>(16u)) | vec4<u32>(0x40u), isNan);
}
<% } %>

/// Writes elements 4 q .. 4 q + 3 of the row at word `base`, those below `hidden`; the padding of a last word is zero.
fn storeQuad(base: u32, q: u32, values: vec4<f32>) {
  let inRow = vec4<u32>(4u * q) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.hidden);
  let v = select(vec4<f32>(), values, inRow);
<% if (wide) { %>
  let words = bitcast<vec4<u32>>(v);
  for (var e = 0u; e < min(4u, p.rowWords - min(p.rowWords, 4u * q)); e++) { wire[base + 4u * q + e] = words[e]; }
<% } else { %>
<% if (bf16) { %>
  let halves = toBf16(v);
  let words = vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
<% } else { %>
  let c = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  let words = vec2<u32>(pack2x16float(c.xy), pack2x16float(c.zw));
<% } %>
  if (2u * q < p.rowWords) { wire[base + 2u * q] = words.x; }
  if (2u * q + 1u < p.rowWords) { wire[base + 2u * q + 1u] = words.y; }
<% } %>
}
<% } %>
