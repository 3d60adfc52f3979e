// RMSNorm: y[r, :] = x[row(r), :] / sqrt(mean(x[row(r), :]^2) + eps) * weight.
//
// x  f32 [T, H8] row-major (padding zero)     weight  f32 [H8] (padding zero)
// y  packed operand [rows, H]; with `dual` a second copy y32 in f32 (the router wants unrounded input)
// With `gather` row(r) = rows[r] (the last tokens of the sequences), else row(r) = r.
// A workgroup takes the 8 rows of a panel in turn, its threads share a row. With a fixed subgroup size (`L`) the workgroup is one
// subgroup and the sum is a subgroupAdd: barriers are what costs on software adapters. Without: 64 threads and a tree in workgroup memory.
<% const lanes = it.L || 64; if (it.L) { %>
enable subgroups;
<% } it.packs = it.aType !== 'f32'; %><%~ include('@packed', it) %>
struct Params { rows: u32, k8: u32, hidden: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<<%= it.lib.packedType(it.aType) %>>;
<% let next = 4; if (it.dual) { %>
@group(0) @binding(<%= next++ %>) var<storage, read_write> y32: array<vec4<f32>>;
<% } if (it.gather) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> rows: array<u32>;
<% } %>
<% if (!it.L) { %>
var<workgroup> partial: array<f32, 64>;
<% } %>

fn total(own: f32, lane: u32) -> f32 {
<% if (it.L) { %>
  return subgroupAdd(own);
<% } else { %>
  workgroupBarrier();
  partial[lane] = own;
  for (var step = 32u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (lane < step) { partial[lane] += partial[lane + step]; }
  }
  return workgroupUniformLoad(&partial[0]);
<% } %>
}

@compute @workgroup_size(<%= lanes %>)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = (group.x + group.y * 32768u) * 8u;
  for (var r = first; r < min(first + 8u, p.rows); r++) {
    let source = (<%= it.gather ? 'rows[r]' : 'r' %>) * p.k8 * 2u;
    var sum = 0.0;
    for (var i = lane; i < p.k8 * 2u; i += <%= lanes %>u) {
      let v = x[source + i];
      sum += dot(v, v);
    }
    let scale = 1.0 / sqrt(total(sum, lane) / f32(p.hidden) + p.eps);
    let to = ((r >> 3u) * p.k8) * 8u + (r & 7u);
    for (var cell = lane; cell < p.k8; cell += <%= lanes %>u) {
      let low = x[source + cell * 2u] * scale * weight[cell * 2u];
      let high = x[source + cell * 2u + 1u] * scale * weight[cell * 2u + 1u];
      let at = to + cell * 8u;
      <%= it.lib.storeCell('y', `at * ${it.lib.units(it.aType)}u`, 'low', 'high', it.aType) %>
      <% if (it.dual) { %>y32[at * 2u] = low; y32[at * 2u + 1u] = high;<% } %>
    }
  }
}
