// Parameters and bindings of the products: what matmul-broadcast.wgsl and matmul-tiled.wgsl have in common.
<% const f16Out = it.out === 'packed' && it.outType === 'f16'; %>
struct Params { rows: u32, cols: u32, k8: u32, outStride: u32, bRow0: u32, outCol0: u32, upRow: u32, expert0: u32, expert1: u32, expertStride: u32, matrixOffset: u32, firstRow: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<<%= it.lib.packedType(it.aType) %>>;
@group(0) @binding(2) var<storage, read> b: array<<%= it.lib.packedType(it.bType) %>>;
@group(0) @binding(3) var<storage, read_write> out: array<<%= f16Out ? 'f16' : 'f32' %>>;
<% let next = 4; if (it.bias) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> bias: array<f32>;
<% } if (it.grouped) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(<%= next++ %>) var<storage, read> tileBase: array<u32>;
<% } if (it.gatherA) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> rowToken: array<u32>;
<% } %>
fn silu(v: f32) -> f32 { return v / (1.0 + exp(-v)); }
