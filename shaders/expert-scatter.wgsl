// Expert sort, step 3 of 3: pair i goes to sorted row offsets[expert] + rank.
// rowToken u32 [pairs]: the token whose activation a sorted row takes      pairRow u32 [pairs]: the sorted row of a pair
struct Params { pairs: u32, topK: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> ranks: array<u32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> rowToken: array<u32>;
@group(0) @binding(5) var<storage, read_write> pairRow: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.pairs) { return; }
  let row = offsets[ids[id.x]] + ranks[id.x];
  rowToken[row] = id.x / p.topK;
  pairRow[id.x] = row;
}
