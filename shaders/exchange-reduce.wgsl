// Sum of what came back: x[t, :] += sum_p wire[row(t, p), :], p = 0 .. terms - 1 in this order, summed in f32.
//
// wire   u32 words: rows of rowWords, back to back     x  f32 [rows, 4 s4] row-major
// rowOf  u32 [rows, terms]: row(t, p), 0xffffffff: no such term; without it row(t, p) = p * termStride + t
// A workgroup: a row. Every element has one thread, so the order of a sum does not depend on the device.
<% it.loads = true; it.stores = false; %>
struct Params { rows: u32, quads: u32, s4: u32, hidden: u32, rowWords: u32, terms: u32, termStride: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> wire: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;
<% if (it.listed) { %>
@group(0) @binding(3) var<storage, read> rowOf: array<u32>;
<% } %>
<%~ include('@wire', it) %>

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = rowOfGroup(group);
  if (token >= p.rows) { return; }
  for (var q = lane; q < p.quads; q += 64u) {
    var sum = vec4<f32>();
    for (var term = 0u; term < p.terms; term++) {
<% if (it.listed) { %>
      let row = rowOf[token * p.terms + term];
      if (row == 0xffffffffu) { continue; }
<% } else { %>
      let row = term * p.termStride + token;
<% } %>
      sum += loadQuad(row * p.rowWords, q);
    }
    x[token * p.s4 + q] += sum;
  }
}
