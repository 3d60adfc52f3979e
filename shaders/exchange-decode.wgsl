// Wire rows into f32 rows: x[r, :] = wire[r, :], zero from `hidden` on.
// wire  u32 words: rows of rowWords, back to back     x  f32 [rows, 4 s4] row-major     a workgroup: a row
<% it.loads = true; it.stores = false; %>
struct Params { rows: u32, quads: u32, s4: u32, hidden: u32, rowWords: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> wire: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;
<%~ include('@wire', it) %>

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = rowOfGroup(group);
  if (row >= p.rows) { return; }
  for (var q = lane; q < p.quads; q += 64u) { x[row * p.s4 + q] = loadQuad(row * p.rowWords, q); }
}
