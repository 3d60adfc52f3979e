// Head of the asked candidates: logits[s, c] = h[s, :] . W[candidates[c], :], one thread a logit.
// h packed f32 [S, H]      W packed bank [bankRows, H], rows from firstRow; a candidate of another bank is left alone
<%~ include('@packed', it) %>
struct Params { sequences: u32, candidates: u32, k8: u32, firstRow: u32, bankRows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<<%= it.lib.packedType(it.wType) %>>;
@group(0) @binding(3) var<storage, read> candidates: array<u32>;
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  let s = id.y;
  if (c >= p.candidates || s >= p.sequences) { return; }
  let row = candidates[c] - p.firstRow;
  if (row >= p.bankRows) { return; }
  let hAt = ((s >> 3u) * p.k8 * 8u + (s & 7u)) * 2u;
  let wAt = ((row >> 3u) * p.k8 * 8u + (row & 7u)) * <%= it.lib.units(it.wType) %>u;
  var sum = 0.0;
  for (var cell = 0u; cell < p.k8; cell++) {
    <%= it.lib.loadCell('w', 'w', `wAt + cell * ${8 * it.lib.units(it.wType)}u`, it.wType) %>
    sum += dot(h[hAt + cell * 16u], <%= it.lib.halfCell('w', 0, it.wType) %>) + dot(h[hAt + cell * 16u + 1u], <%= it.lib.halfCell('w', 1, it.wType) %>);
  }
  logits[s * p.candidates + c] = sum;
}
