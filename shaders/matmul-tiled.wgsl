// Matrix product by workgroup tiles: the same contract and bindings as matmul-broadcast.wgsl, for any adapter (no subgroups needed).
//
// 16 x 16 threads compute 64 rows x 64 columns, 4 x 4 a thread (rows ty + 16 i, columns tx + 16 j). Two cells of k (16) of both operands
// are brought to workgroup memory by half of the threads each, as vec4 along k in [k / 4][row] order, so that neighbouring threads
// read neighbouring vec4s of B and the same vec4 of A. Four dot products per loaded pair: the usual shape on a GPU.
// swiglu: columns j < 2 are gate, j >= 2 up, so that a tile is 32 output columns wide.
<%~ include('@packed', it) %>
<%
const { grouped, swiglu, aType, bType } = it;
const G = swiglu ? 2 : 4;
const f16Out = it.out === 'packed' && it.outType === 'f16';
const range = (n) => [...Array(n).keys()];
%>
<% if (f16Out) { %>enable f16;<% } %>
<%~ include('@product', it) %>
var<workgroup> aTile: array<vec4<f32>, 256>; // [k / 4][row]
var<workgroup> bTile: array<vec4<f32>, 256>; // [k / 4][column]

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) index: u32) {
<% if (grouped) { %>
  let tileIndex = tileBase[p.expert0] + group.y;
  if (tileIndex >= tileBase[p.expert1]) { return; }
  let tile = tiles[tileIndex];
  let row0 = tile.y;
  let rows = tile.z;
  let base = (tile.x - p.expert0) * p.expertStride + p.matrixOffset;
<% } else { %>
  let row0 = group.y * 64u;
  let rows = min(64u, p.rows - row0);
  let base = p.matrixOffset;
<% } %>
  let col0 = group.x * <%= G * 16 %>u;
  // What this thread brings: cell row `line` of cell `step` (0 or 1) of A (threads below 128) or of B.
  let line = index & 63u;
  let step = (index >> 6u) & 1u;
  let bringsA = index < 128u;
  let inTile = min(line, rows - 1u);
  let aRow = <%= it.gatherA ? 'rowToken[row0 + inTile]' : 'row0 + inTile + p.firstRow' %>;
<% if (swiglu) { %>
  let bRow = select(0u, p.upRow, line >= 32u) + min(col0 + (line & 31u), p.cols - 1u);
<% } else { %>
  let bRow = p.bRow0 + min(col0 + line, p.cols - 1u);
<% } %>
  let aAt = ((aRow >> 3u) * p.k8 * 8u + (aRow & 7u)) * <%= it.lib.units(aType) %>u;
  let bAt = base + ((bRow >> 3u) * p.k8 * 8u + (bRow & 7u)) * <%= it.lib.units(bType) %>u;
  <% for (const i of range(4)) { for (const j of range(4)) { %>var c<%= i %>_<%= j %> = 0.0; <% } } %>

  for (var cell = 0u; cell < p.k8; cell += 2u) {
    let mine = cell + step;
    let to = step * 128u + line;
    if (bringsA) {
      if (mine < p.k8) {
        <%= it.lib.loadCell('v', 'a', `aAt + mine * ${8 * it.lib.units(aType)}u`, aType) %>
        aTile[to] = <%= it.lib.halfCell('v', 0, aType) %>; aTile[to + 64u] = <%= it.lib.halfCell('v', 1, aType) %>;
      } else { aTile[to] = vec4<f32>(); aTile[to + 64u] = vec4<f32>(); }
    } else {
      if (mine < p.k8) {
        <%= it.lib.loadCell('v', 'b', `bAt + mine * ${8 * it.lib.units(bType)}u`, bType) %>
        bTile[to] = <%= it.lib.halfCell('v', 0, bType) %>; bTile[to + 64u] = <%= it.lib.halfCell('v', 1, bType) %>;
      } else { bTile[to] = vec4<f32>(); bTile[to + 64u] = vec4<f32>(); }
    }
    workgroupBarrier();
    for (var k = 0u; k < 256u; k += 64u) {
      <% for (const i of range(4)) { %>let a<%= i %> = aTile[k + id.y + <%= 16 * i %>u]; <% } %>
      <% for (const j of range(4)) { %>let b<%= j %> = bTile[k + id.x + <%= 16 * j %>u]; <% } %>
      <% for (const i of range(4)) { for (const j of range(4)) { %>c<%= i %>_<%= j %> += dot(a<%= i %>, b<%= j %>); <% } } %>
    }
    workgroupBarrier();
  }
<% for (const j of range(G)) { %>
  { let column = col0 + id.x + <%= 16 * j %>u;
    if (column < p.cols) {
<% for (const i of range(4)) {
     const value = swiglu ? `silu(c${i}_${j}) * c${i}_${j + G}` : `c${i}_${j}`; %>
      if (id.y + <%= 16 * i %>u < rows) { let row = row0 + id.y + <%= 16 * i %>u; <% if (it.out === 'rows') { %>let at = row * p.outStride + p.outCol0 + column; out[at] = <%= it.accumulate ? 'out[at] + ' : '' %><%= value %><%= it.bias ? ' + bias[p.outCol0 + column]' : '' %>;<% } else { %>
        out[((row >> 3u) * p.outStride + (column >> 3u)) * 64u + (row & 7u) * 8u + (column & 7u)] = <%= f16Out ? `f16(clamp(${value}, -65504.0, 65504.0))` : value %>;<% } %> }
<% } %>
    }
  }
<% } %>
}
