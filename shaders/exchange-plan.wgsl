// Dispatch plan, step 2 of 2: rows by rank (own + 1, own + 2, .., own), inside a rank by unit: an exclusive prefix sum of the bits of step 1.
//
// counts  u32 [world]                 starts  u32 [world + 1]: first row of each rank; the last is the number of all rows
// rowOf   u32 [units, world]: in its first column the bits of step 1; then the row of (unit, rank), 0xffffffff where there is none
// unitOf  u32 [rows]
// One workgroup, a run of consecutive units a thread: it counts its run, eight threads (one a rank) add up the runs before each, and
// it numbers its run. Three barriers and an order that depends on nothing but the ids.
struct Params { units: u32, world: u32, own: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> rowOf: array<u32>;
@group(0) @binding(4) var<storage, read_write> unitOf: array<u32>;
var<workgroup> before: array<array<u32, 8>, 256>; // rows of a run, then of the runs before it, for each rank
var<workgroup> totals: array<u32, 8>;
var<workgroup> firsts: array<u32, 8>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  let run = (p.units + 255u) / 256u;
  let first = min(lane * run, p.units);
  let end = min(first + run, p.units);
  var rows = array<u32, 8>();
  for (var u = first; u < end; u++) {
    let ranks = rowOf[u * p.world];
    for (var d = 0u; d < p.world; d++) { rows[d] += (ranks >> d) & 1u; }
  }
  before[lane] = rows;
  workgroupBarrier();
  if (lane < p.world) {
    var sum = 0u;
    for (var other = 0u; other < 256u; other++) {
      let own = before[other][lane];
      before[other][lane] = sum;
      sum += own;
    }
    totals[lane] = sum;
    counts[lane] = sum;
  }
  workgroupBarrier();
  if (lane == 0u) {
    var sum = 0u;
    for (var j = 1u; j <= p.world; j++) {
      let d = (p.own + j) % p.world;
      firsts[d] = sum;
      starts[d] = sum;
      sum += totals[d];
    }
    starts[p.world] = sum;
  }
  workgroupBarrier();
  for (var d = 0u; d < p.world; d++) { rows[d] = firsts[d] + before[lane][d]; }
  for (var u = first; u < end; u++) {
    let ranks = rowOf[u * p.world];
    for (var d = 0u; d < p.world; d++) {
      if (((ranks >> d) & 1u) == 0u) { rowOf[u * p.world + d] = 0xffffffffu; continue; }
      rowOf[u * p.world + d] = rows[d];
      unitOf[rows[d]] = u;
      rows[d]++;
    }
  }
}
