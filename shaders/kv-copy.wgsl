// Blocks of keys and values from one buffer to another: to[toBlock[i]] = from[fromBlock[i]], i < count, keys and values alike.
//
// A block is `size` vec4s in one piece, whatever its element type. pairs: u32 [first + count, 2], (fromBlock, toBlock); no toBlock comes twice.
// A thread moves one vec4 of the keys and the same one of the values; neighbours move neighbours. grid: ceil(count * size / 64), in lines of
// 16384 groups.
struct Params { count: u32, size: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> fromKeys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> fromValues: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> toKeys: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> toValues: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let work = id.x + id.y * 1048576u;
  let i = work / p.size;
  if (i >= p.count) { return; }
  let at = work % p.size;
  let pair = pairs[p.first + i];
  let source = pair.x * p.size + at;
  let goal = pair.y * p.size + at;
  toKeys[goal] = fromKeys[source];
  toValues[goal] = fromValues[source];
}
