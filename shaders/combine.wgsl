// Combine: x[t, :] += sum_j weights[t, j] * y[pairRow[t, j], :], j = 0 .. k-1 in this order; with `assign` x[t, :] = the sum.
// x, y f32 row-major with h4 vec4s a row; grid (h4 / 64, tokens); x starts at row firstRow.
// A pair of weight 0 is an expert of another rank: no product has written its row of y, and NaN * 0 is NaN, so it is not read.
struct Params { tokens: u32, h4: u32, topK: u32, firstRow: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> pairRow: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.h4 || id.y >= p.tokens) { return; }
  var sum = vec4<f32>();
  for (var j = 0u; j < p.topK; j++) {
    let pair = id.y * p.topK + j;
    let weight = weights[pair];
    if (weight != 0.0) { sum += weight * y[pairRow[pair] * p.h4 + id.x]; }
  }
  x[(p.firstRow + id.y) * p.h4 + id.x] <%= it.assign ? '=' : '+=' %> sum;
}
