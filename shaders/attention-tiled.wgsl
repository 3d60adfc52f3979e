// Causal attention over packed sequences: the contract and the bindings of attention-broadcast.wgsl, for any adapter (no subgroups needed).
//
// A thread is one query of a tile of 64; the 64 threads bring one block of 16 keys and values to workgroup memory together, which
// every thread then reads at the same address. Online softmax in registers; the accumulator is a private array of d elements.
<% it.packs = it.aType !== 'f32'; %><%~ include('@packed', it) %>
<%
const { d, kvType, aType } = it;
const cells = d / 8;
const range = (n) => [...Array(n).keys()];
const u = it.lib.units(kvType);
%>
<%~ include('@attention', it) %>
var<workgroup> blockRows: array<vec4<f32>, <%= 16 * 2 * cells %>>; // [16 tokens][d / 4]: keys, then values

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let tile = tiles[group.y];
  let kvHead = head / (p.queryHeads / p.kvHeads);
  let inTile = min(lane, tile.y - 1u);
  let row = tile.x + inTile;
  let position = tile.z + inTile;
  let qAt = (row * p.queryHeads + head) * <%= cells * u %>u;
  var query: array<vec4<f32>, <%= 2 * cells %>>;
  var o: array<vec4<f32>, <%= 2 * cells %>>;
  for (var c = 0u; c < p.cells; c++) {
    <%= it.lib.loadCell('w', 'q', `qAt + c * ${u}u`, kvType) %>
    query[c * 2u] = <%= it.lib.halfCell('w', 0, kvType) %>; query[c * 2u + 1u] = <%= it.lib.halfCell('w', 1, kvType) %>;
  }
  var top = LOWEST;
  var sum = 0.0;
  let last = tile.z + tile.y - 1u;
  let blockCount = (last + 16u) / 16u;
  for (var n = 0u; n < blockCount; n++) {
    let block = (blockTable[tile.w + n] * p.kvHeads + kvHead) * <%= cells * 16 %>u;
    // cell row i of a block: panel i / (8 cells), cell (i / 8) % cells, token i % 8; slots behind the last token are never read
    for (var i = lane; i < p.cells * 16u; i += 64u) {
      let token = (i / <%= cells * 8 %>u) * 8u + (i & 7u);
      let cell = (i >> 3u) % <%= cells %>u;
      let source = min(token, last - n * 16u);
      let to = token * <%= 2 * cells %>u + cell * 2u;
      <%= it.lib.loadCell('w', 'keys', `(block + (source >> 3u) * ${cells * 8}u + cell * 8u + (source & 7u)) * ${u}u`, kvType) %>
      blockRows[to] = <%= it.lib.halfCell('w', 0, kvType) %>; blockRows[to + 1u] = <%= it.lib.halfCell('w', 1, kvType) %>;
    }
    workgroupBarrier();
    <% for (const j of range(16)) { %>var s<%= j %> = 0.0; <% } %>

    for (var c = 0u; c < 2u * p.cells; c++) {
      let x = query[c];
      <% for (const j of range(16)) { %>s<%= j %> += dot(x, blockRows[<%= j * 2 * cells %>u + c]); <% } %>
    }
    workgroupBarrier();
    for (var i = lane; i < p.cells * 16u; i += 64u) {
      let token = (i / <%= cells * 8 %>u) * 8u + (i & 7u);
      let cell = (i >> 3u) % <%= cells %>u;
      let source = min(token, last - n * 16u);
      let to = token * <%= 2 * cells %>u + cell * 2u;
      <%= it.lib.loadCell('w', 'values', `(block + (source >> 3u) * ${cells * 8}u + cell * 8u + (source & 7u)) * ${u}u`, kvType) %>
      blockRows[to] = <%= it.lib.halfCell('w', 0, kvType) %>; blockRows[to + 1u] = <%= it.lib.halfCell('w', 1, kvType) %>;
    }
    workgroupBarrier();
    let left = i32(position) - i32(n * 16u);
    var next = top;
    <% for (const j of range(16)) { %>s<%= j %> = select(LOWEST, s<%= j %>, left >= <%= j %>); next = max(next, s<%= j %>); <% } %>

    let scale = exp(top - next);
    top = next;
    sum *= scale;
    <% for (const j of range(16)) { %>let p<%= j %> = select(0.0, exp(s<%= j %> - next), left >= <%= j %>); sum += p<%= j %>; <% } %>

    for (var c = 0u; c < 2u * p.cells; c++) {
      var a = o[c] * scale;
      <% for (const j of range(16)) { %>a += p<%= j %> * blockRows[<%= j * 2 * cells %>u + c]; <% } %>

      o[c] = a;
    }
    workgroupBarrier();
  }
  if (lane < tile.y) {
    let to = ((row >> 3u) * p.queryHeads * <%= cells %>u + head * <%= cells %>u) * 8u + (row & 7u);
    let inverse = 1.0 / sum;
    for (var c = 0u; c < p.cells; c++) {
      let low = o[c * 2u] * inverse; let high = o[c * 2u + 1u] * inverse;
      <%= it.lib.storeCell('out', `(to + c * 8u) * ${it.lib.units(aType)}u`, 'low', 'high', aType) %>
    }
  }
}
