// Expert sort, step 1 of 3: count the (token, choice) pairs of each expert; a pair keeps its rank among its expert's pairs.
// counts (zeroed before) u32 [E]      ids u32 [pairs]      ranks u32 [pairs]
// The order inside an expert is whatever the device makes it: every row is computed alike wherever it stands.
struct Params { pairs: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> ranks: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < p.pairs) { ranks[id.x] = atomicAdd(&counts[ids[id.x]], 1u); }
}
