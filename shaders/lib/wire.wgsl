// Rows as they travel: `wire` is an array of u32 words; a row is `hidden` elements of type <%= it.wire %>, padded with zeros to whole words.
// A row is taken in quads of 4 elements. Words one by one, because a row need not start at a multiple of 16 bytes.
<% const wide = it.wire === 'f32'; const bf16 = it.wire === 'bf16'; %>

/// The row of a workgroup, whose threads share its quads. Groups are counted in lines of 32768.
fn rowOfGroup(group: vec3<u32>) -> u32 { return group.x + group.y * 32768u; }
<% const parts = ['x', 'y', 'z', 'w'].slice(0, wide ? 4 : 2); const n = parts.length; /* words of a quad */ %>
<% if (it.loads) { %>

fn wireWord(base: u32, word: u32) -> u32 {
  if (word < p.rowWords) { return wire[base + word]; }
  return 0u;
}

/// Elements 4 q .. 4 q + 3 of the row at word `base`; zero where it has no such words.
fn loadQuad(base: u32, q: u32) -> vec4<f32> {
  let word = <%= n %>u * q;
  var words: vec<%= n %><u32>;
  if (word + <%= n %>u <= p.rowWords) {
    let at = base + word;
    words = vec<%= n %><u32>(<%= parts.map((_, i) => `wire[at + ${i}u]`).join(', ') %>);
  } else {
    words = vec<%= n %><u32>(<%= parts.map((_, i) => `wireWord(base, word + ${i}u)`).join(', ') %>);
  }
<% if (wide) { %>
  return bitcast<vec4<f32>>(words);
<% } else if (bf16) { %>
  return bitcast<vec4<f32>>(vec4<u32>(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
<% } else { %>
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
<% } %>
}
<% } if (it.stores) { %>
<% if (bf16) { %>

/// The upper halves of the bits, rounded to nearest even; NaN stays NaN.
fn toBf16(v: vec4<f32>) -> vec4<u32> {
  let bits = bitcast<vec4<u32>>(v);
  let upper = bits >> vec4<u32>(16u);
  let nearest = (bits + 0x7fffu + (upper & vec4<u32>(1u))) >> vec4<u32>(16u);
  let isNan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
  return select(nearest, upper | vec4<u32>(0x40u), isNan);
}
<% } %>

fn wireWords(v: vec4<f32>) -> vec<%= n %><u32> {
<% if (wide) { %>
  return bitcast<vec4<u32>>(v);
<% } else if (bf16) { %>
  let halves = toBf16(v);
  return vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
<% } else { %>
  let c = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  return vec2<u32>(pack2x16float(c.xy), pack2x16float(c.zw));
<% } %>
}

/// Writes elements 4 q .. 4 q + 3 of the row at word `base`, those below `hidden`; the padding of a last word is zero.
fn storeQuad(base: u32, q: u32, values: vec4<f32>) {
  let word = <%= n %>u * q;
  if (4u * q + 4u <= p.hidden) {
    let words = wireWords(values);
    let at = base + word;
    <%= parts.map((part, i) => `wire[at + ${i}u] = words.${part};`).join(' ') %>
  } else {
    let inRow = vec4<u32>(4u * q) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.hidden);
    let words = wireWords(select(vec4<f32>(), values, inRow));
    <%= parts.map((part, i) => `if (word + ${i}u < p.rowWords) { wire[base + word + ${i}u] = words.${part}; }`).join(' ') %>
  }
}
<% } %>
