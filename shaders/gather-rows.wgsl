// Rows of a row-major matrix: out[r, :] = x[rows[r], :]; h4 vec4s a row; grid (h4 / 64, rows).
struct Params { rows: u32, h4: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < p.h4 && id.y < p.rows) { out[id.y * p.h4 + id.x] = x[rows[id.y] * p.h4 + id.x]; }
}
