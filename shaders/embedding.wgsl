// Embedding lookup: x[t, :] = E[token[t], :].
//
// One dispatch per bank of E (rows [firstRow, firstRow + bankRows)); a token of another bank is left alone.
// tokens  u32 [T]                 x  f32 [T, H8] row-major, H8 = hidden size padded to 8 (the padding of E is zero)
// table   packed [bankRows, H]    grid: (H8 / 8 / 64, T), a thread copies one cell row of 8 elements
<%~ include('@packed', it) %>
struct Params { tokens: u32, k8: u32, firstRow: u32, bankRows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<<%= it.lib.packedType(it.wType) %>>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let cell = id.x;
  let token = id.y;
  if (cell >= p.k8 || token >= p.tokens) { return; }
  let row = tokens[token] - p.firstRow; // wraps below the bank, so that one comparison is enough
  if (row >= p.bankRows) { return; }
  let source = (((row >> 3u) * p.k8 + cell) * 8u + (row & 7u)) * <%= it.lib.units(it.wType) %>u;
  <%= it.lib.loadCell('w', 'table', 'source', it.wType) %>
  let to = (token * p.k8 + cell) * 2u;
  x[to] = <%= it.lib.halfCell('w', 0, it.wType) %>;
  x[to + 1u] = <%= it.lib.halfCell('w', 1, it.wType) %>;
}
