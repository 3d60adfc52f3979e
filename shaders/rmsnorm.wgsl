// RMSNorm: y[r, :] = x[row(r), :] / sqrt(mean(x[row(r), :]^2) + eps) * weight.
//
// x  f32 [T, H8] row-major (padding zero)     weight  f32 [H8] (padding zero)
// y  packed operand [rows, H]; with `dual` a second copy y32 in f32 (the router wants unrounded input)
// With `gather` row(r) = rows[r] (the last tokens of the sequences), else row(r) = firstRow + r.
// One workgroup of 64 threads a row: sums in registers, then a tree in workgroup memory.
<% it.packs = it.aType !== 'f32'; %><%~ include('@packed', it) %>
struct Params { rows: u32, k8: u32, hidden: u32, eps: f32, firstRow: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<<%= it.lib.packedType(it.aType) %>>;
<% let next = 4; if (it.dual) { %>
@group(0) @binding(<%= next++ %>) var<storage, read_write> y32: array<vec4<f32>>;
<% } if (it.gather) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> rows: array<u32>;
<% } %>
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let r = group.x + group.y * 32768u;
  if (r >= p.rows) { return; }
  let source = (<%= it.gather ? 'rows[r]' : 'p.firstRow + r' %>) * p.k8 * 2u;
  var sum = 0.0;
  for (var i = lane; i < p.k8 * 2u; i += 64u) {
    let v = x[source + i];
    sum += dot(v, v);
  }
  partial[lane] = sum;
  for (var step = 32u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (lane < step) { partial[lane] += partial[lane + step]; }
  }
  workgroupBarrier();
  let scale = 1.0 / sqrt(partial[0] / f32(p.hidden) + p.eps);
  let to = ((r >> 3u) * p.k8) * 8u + (r & 7u);
  for (var cell = lane; cell < p.k8; cell += 64u) {
    let low = x[source + cell * 2u] * scale * weight[cell * 2u];
    let high = x[source + cell * 2u + 1u] * scale * weight[cell * 2u + 1u];
    let at = to + cell * 8u;
    <%= it.lib.storeCell('y', `at * ${it.lib.units(it.aType)}u`, 'low', 'high', it.aType) %>
    <% if (it.dual) { %>y32[at * 2u] = low; y32[at * 2u + 1u] = high;<% } %>
  }
}
