// Dispatch plan, step 1 of 2: the ranks that have an expert of a unit, as bits: rowOf[u * world] = OR_j 1 << owners[ids[u * choices + j]].
//
// ids  u32 [units, choices]     owners  u32 [E]     rowOf  u32 [units, world]: its first column holds the bits until step 2
// A thread a unit: two loads that hang on one another for each choice are what costs, so this is kept out of the one workgroup of step 2.
struct Params { units: u32, choices: u32, world: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> owners: array<u32>;
@group(0) @binding(3) var<storage, read_write> rowOf: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.units) { return; }
  var ranks = 0u;
  for (var j = 0u; j < p.choices; j++) { ranks |= 1u << owners[ids[id.x * p.choices + j]]; }
  rowOf[id.x * p.world] = ranks;
}
