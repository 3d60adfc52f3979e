// Parameters and bindings of the attention kernels: what attention-broadcast.wgsl and attention-tiled.wgsl have in common; cells = d / 8.
struct Params { queryHeads: u32, kvHeads: u32, cells: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<<%= it.lib.packedType(it.kvType) %>>;
@group(0) @binding(2) var<storage, read> keys: array<<%= it.lib.packedType(it.kvType) %>>;
@group(0) @binding(3) var<storage, read> values: array<<%= it.lib.packedType(it.kvType) %>>;
@group(0) @binding(4) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> blockTable: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<<%= it.lib.packedType(it.aType) %>>;
const LOWEST = -3.0e38;
