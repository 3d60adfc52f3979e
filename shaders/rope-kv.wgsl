// Per-head RMSNorm of q and k, rotary embedding, and the way into the KV blocks.
//
// qkv  f32 [T, (n_q + 2 n_kv) d] row-major: the fused projection       positions  u32 [T]       kvSlots  u32 [T] = block * 16 + offset
// rope f32 [maxPosition, d]: cos in the first half of a row, sin in the second (angle i of pair (i, i + d/2)), attention factor included
// q    [T, n_q, d] row-major, scaled by 1 / sqrt(d)
// k, v [block][n_kv][panel of 8 tokens][d / 8][8 tokens][8]: cells as in every packed operand, a lane of the attention holds one key
// The number of cells comes as a parameter, so that no driver unrolls its loops. A head of a token is one thread: d is small, and no thread has to wait for another. grid: ceil(T * heads / 64).
// parts: 'all', or 'kv' / 'q' alone (the last layer needs K and V of every token, q of few); head h of this dispatch is column h * d of qkv.
<% it.packs = it.kvType !== 'f32'; %><%~ include('@packed', it) %>
<%
const { d, kvType, parts } = it;
const cells = d / 8;
const half = d / 2;
const withQ = parts !== 'kv';
const withKv = parts !== 'q';
%>
struct Params { tokens: u32, heads: u32, queryHeads: u32, kvHeads: u32, qkvStride: u32, eps: f32, firstToken: u32, cells: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> rope: array<f32>;
@group(0) @binding(4) var<storage, read> norms: array<f32>; // q norm [d], then k norm [d]
<% let next = 5; if (withQ) { %>
@group(0) @binding(<%= next++ %>) var<storage, read_write> q: array<<%= it.lib.packedType(kvType) %>>;
<% } if (withKv) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> kvSlots: array<u32>;
@group(0) @binding(<%= next++ %>) var<storage, read_write> keys: array<<%= it.lib.packedType(kvType) %>>;
@group(0) @binding(<%= next++ %>) var<storage, read_write> values: array<<%= it.lib.packedType(kvType) %>>;
<% } %>
fn rotated(source: u32, normOffset: u32, angle: u32, scale: f32, i: u32) -> f32 {
  // element i of the normalised, rotated head: x_i cos - x_(i + d/2) sin below the middle, x_i cos + x_(i - d/2) sin above
  let low = i < <%= half %>u;
  let pair = select(i - <%= half %>u, i + <%= half %>u, low);
  let at = select(i - <%= half %>u, i, low);
  let own = qkv[source + i] * norms[normOffset + i];
  let other = qkv[source + pair] * norms[normOffset + pair];
  return scale * (own * rope[angle + at] + select(other, -other, low) * rope[angle + at + <%= half %>u]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let work = id.x + id.y * 65536u * 16u;
  let token = work / p.heads;
  if (token >= p.tokens) { return; }
  let head = work % p.heads;
  let source = token * p.qkvStride + head * <%= d %>u;
<% if (withKv) { %>
  let kvHead = head - p.queryHeads; // of k, or of v when at least kvHeads
  let slot = kvSlots[p.firstToken + token];
  // cell row of this token in its block, without the head: panel, then cells, then token
  let inBlock = ((slot & 15u) >> 3u) * <%= cells * 8 %>u + (slot & 7u);
  let block = (slot >> 4u) * p.kvHeads;
  if (head >= p.queryHeads + p.kvHeads) {
    let to = ((block + kvHead - p.kvHeads) * <%= cells * 16 %>u + inBlock);
    for (var c = 0u; c < p.cells; c++) {
      let s = source + c * 8u;
      let low = vec4<f32>(qkv[s], qkv[s + 1u], qkv[s + 2u], qkv[s + 3u]);
      let high = vec4<f32>(qkv[s + 4u], qkv[s + 5u], qkv[s + 6u], qkv[s + 7u]);
      let at = (to + c * 8u) * <%= it.lib.units(kvType) %>u;
      <%= it.lib.storeCell('values', 'at', 'low', 'high', kvType) %>
    }
    return;
  }
<% } %>
  var sum = 0.0;
  for (var i = 0u; i < p.cells * 8u; i++) { let v = qkv[source + i]; sum += v * v; }
  let isKey = head >= p.queryHeads;
  let scale = select(<%= 1 / Math.sqrt(d) %>, 1.0, isKey) / sqrt(sum / <%= d %>.0 + p.eps);
  let norm = select(0u, <%= d %>u, isKey);
  let angle = positions[p.firstToken + token] * <%= d %>u;
  for (var c = 0u; c < p.cells; c++) {
    let i = c * 8u;
    let low = vec4<f32>(rotated(source, norm, angle, scale, i), rotated(source, norm, angle, scale, i + 1u), rotated(source, norm, angle, scale, i + 2u), rotated(source, norm, angle, scale, i + 3u));
    let high = vec4<f32>(rotated(source, norm, angle, scale, i + 4u), rotated(source, norm, angle, scale, i + 5u), rotated(source, norm, angle, scale, i + 6u), rotated(source, norm, angle, scale, i + 7u));
<% if (withKv) { %>
    if (isKey) {
      let at = ((block + kvHead) * <%= cells * 16 %>u + inBlock + c * 8u) * <%= it.lib.units(kvType) %>u;
      <%= it.lib.storeCell('keys', 'at', 'low', 'high', kvType) %>
    }
<% } if (withQ) { %>
    if (!isKey) {
      let at = ((token * p.queryHeads + head) * <%= cells %>u + c) * <%= it.lib.units(kvType) %>u;
      <%= it.lib.storeCell('q', 'at', 'low', 'high', kvType) %>
    }
<% } %>
  }
}
