// Router: softmax over the experts, the k largest (the lower index first when equal), optional renormalisation over the chosen.
//
// logits  f32 [T, E]     ids  u32 [T, k]     weights  f32 [T, k]
// A token is one thread; chosen experts are remembered by their rank in (value, index) order, so nothing is written to logits.
struct Params { tokens: u32, experts: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let token = id.x;
  if (token >= p.tokens) { return; }
  let row = token * p.experts;
  var top: array<f32, <%= it.k %>>;
  var at: array<u32, <%= it.k %>>;
  var last = 3.0e38;
  var lastId = 0u;
  for (var j = 0u; j < <%= it.k %>u; j++) {
    var best = -3.4e38;
    var bestId = 0u;
    for (var e = 0u; e < p.experts; e++) {
      let v = logits[row + e];
      let free = j == 0u || v < last || (v == last && e > lastId);
      if (free && v > best) { best = v; bestId = e; }
    }
    top[j] = best; at[j] = bestId;
    last = best; lastId = bestId;
  }
  let highest = top[0];
  var total = 0.0;
<% if (it.renormalise) { %>
  for (var j = 0u; j < <%= it.k %>u; j++) { total += exp(top[j] - highest); }
<% } else { %>
  for (var e = 0u; e < p.experts; e++) { total += exp(logits[row + e] - highest); }
<% } %>
  for (var j = 0u; j < <%= it.k %>u; j++) {
    ids[token * <%= it.k %>u + j] = at[j];
    weights[token * <%= it.k %>u + j] = exp(top[j] - highest) / total;
  }
}
