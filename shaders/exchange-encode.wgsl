// f32 rows into wire rows: wire[r, :] = x[r, :] rounded to the wire's type.
// x  f32 [rows, 4 s4] row-major     wire  u32 words: rows of rowWords, back to back     a workgroup: a row
<% it.loads = false; it.stores = true; %>
struct Params { rows: u32, quads: u32, s4: u32, hidden: u32, rowWords: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> wire: array<u32>;
<%~ include('@wire', it) %>

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = rowOfGroup(group);
  if (row >= p.rows) { return; }
  for (var q = lane; q < p.quads; q += 64u) { storeQuad(row * p.rowWords, q, x[row * p.s4 + q]); }
}
