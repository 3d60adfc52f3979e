// Expert sort, step 2 of 3: where each expert's rows start, and the list of tiles of at most `tileRows` rows of one expert.
//
// counts u32 [E]                     offsets  u32 [E + 1]: first sorted row of each expert
// tileBase u32 [E + 1]: first tile   tiles    vec4<u32> (expert, first sorted row, rows, 0), in order of experts
// One workgroup: a serial scan over E by one thread (E is at most some hundreds), then an expert a thread.
struct Params { experts: u32, tileRows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> tileBase: array<u32>;
@group(0) @binding(4) var<storage, read_write> tiles: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  if (lane == 0u) {
    var row = 0u;
    var tile = 0u;
    for (var e = 0u; e < p.experts; e++) {
      offsets[e] = row;
      tileBase[e] = tile;
      row += counts[e];
      tile += (counts[e] + p.tileRows - 1u) / p.tileRows;
    }
    offsets[p.experts] = row;
    tileBase[p.experts] = tile;
  }
  storageBarrier();
  for (var e = lane; e < p.experts; e += 64u) {
    let count = counts[e];
    for (var n = 0u; n * p.tileRows < count; n++) {
      tiles[tileBase[e] + n] = vec4<u32>(e, offsets[e] + n * p.tileRows, min(p.tileRows, count - n * p.tileRows), 0u);
    }
  }
}
