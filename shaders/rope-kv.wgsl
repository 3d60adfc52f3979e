// Per-head RMSNorm of q and k, rotary embedding, and the way into the KV blocks.
//
// qkv  f32 [T, (n_q + 2 n_kv) d] row-major: the fused projection       positions  u32 [T]       kvSlots  u32 [T] = block * 16 + offset
// rope f32 [maxPosition, d]: cos in the first half of a row, sin in the second (angle i of pair (i, i + d/2)), attention factor included
// q    [T, n_q, d] row-major, scaled by 1 / sqrt(d)
// k, v [block][n_kv][panel of 8 tokens][d / 8][8 tokens][8]: cells as in every packed operand, a lane of the attention holds one key
// A head of a token is one thread: d is small, and no thread has to wait for another. Four pairs (i, i + d/2) at a time, so that everything
// is loaded as vec4; each result is half of a cell row (4 elements: vec4<f32>, or two words of f16). grid: ceil(T * heads / 64).
// The number of vec4s comes as a parameter, so that no driver unrolls the loops.
// parts: 'all', or 'kv' / 'q' alone (the last layer needs K and V of every token, q of few); head h of this dispatch is column h * d of qkv.
<%
const { d, kvType, parts } = it;
const withQ = parts !== 'kv';
const withKv = parts !== 'q';
const stored = kvType === 'f32' ? 'vec4<f32>' : 'vec2<u32>';
%>
struct Params { tokens: u32, heads: u32, queryHeads: u32, kvHeads: u32, quarters: u32, eps: f32, firstToken: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> rope: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> norms: array<vec4<f32>>; // q norm [d], then k norm [d]
<% let next = 5; if (withQ) { %>
@group(0) @binding(<%= next++ %>) var<storage, read_write> q: array<<%= stored %>>;
<% } if (withKv) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> kvSlots: array<u32>;
@group(0) @binding(<%= next++ %>) var<storage, read_write> keys: array<<%= stored %>>;
@group(0) @binding(<%= next++ %>) var<storage, read_write> values: array<<%= stored %>>;
<% } %>
fn asStored(v: vec4<f32>) -> <%= stored %> {
<% if (kvType === 'f32') { %>
  return v;
<% } else { %>
  let bounded = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  return vec2<u32>(pack2x16float(bounded.xy), pack2x16float(bounded.zw));
<% } %>
}

<% if (withKv) { %>
// Half cell row `i` (elements 4 i ..) of a token's key or value, from the first cell row of that token.
fn inBlock(first: u32, i: u32) -> u32 { return (first + (i >> 1u) * 8u) * 2u + (i & 1u); }
<% } %>

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let work = id.x + id.y * 1048576u;
  let token = work / p.heads;
  if (token >= p.tokens) { return; }
  let head = work % p.heads;
  let half = p.quarters / 2u;
  let source = work * p.quarters; // heads of a token are neighbours in qkv, as in this count
<% if (withKv) { %>
  let slot = kvSlots[p.firstToken + token];
  let block = (slot >> 4u) * p.kvHeads;
  let inHead = ((slot & 15u) >> 3u) * <%= d %>u + (slot & 7u); // panels of d / 8 cells of 8 cell rows
  if (head >= p.queryHeads + p.kvHeads) {
    let first = (block + head - p.queryHeads - p.kvHeads) * <%= 2 * d %>u + inHead;
    for (var i = 0u; i < p.quarters; i++) { values[inBlock(first, i)] = asStored(qkv[source + i]); }
    return;
  }
<% } %>
  var sum = 0.0;
  for (var i = 0u; i < p.quarters; i++) { let v = qkv[source + i]; sum += dot(v, v); }
  let isKey = head >= p.queryHeads;
  let scale = select(<%= 1 / Math.sqrt(d) %>, 1.0, isKey) / sqrt(sum / <%= d %>.0 + p.eps);
  let norm = select(0u, p.quarters, isKey);
  let angle = positions[p.firstToken + token] * p.quarters;
<% if (withKv) { %>
  let first = (block + head - p.queryHeads) * <%= 2 * d %>u + inHead;
<% } %>
  for (var i = 0u; i < half; i++) {
    let low = qkv[source + i] * norms[norm + i] * scale;
    let high = qkv[source + i + half] * norms[norm + i + half] * scale;
    let cosine = rope[angle + i];
    let sine = rope[angle + i + half];
    let a = asStored(low * cosine - high * sine);
    let b = asStored(high * cosine + low * sine);
<% if (withKv) { %>
    if (isKey) { keys[inBlock(first, i)] = a; keys[inBlock(first, i + half)] = b; }
<% } if (withQ) { %>
    if (!isKey) { let to = (token * p.queryHeads + head) * p.quarters; q[to + i] = a; q[to + i + half] = b; }
<% } %>
  }
}
