// Matrix product by subgroup broadcast: out[m, n] = sum_k A[m, k] * B[n, k]   (A, B packed in panels, f32 accumulation).
//
// One subgroup of L lanes a workgroup computes R rows x C groups of L columns. A lane holds one row of A and one column (row of B)
// per group: both are loaded lane-varying, 8 k at a time, and A is spread from registers by `subgroupBroadcast` of a constant
// lane. Why: on software adapters a buffer load costs 10 to 20 times a broadcast with multiply-add, and workgroup memory hardly less.
// All eight k of a cell go through one accumulator before the next: it is read and written once per cell, not once per k.
//
// dense:    tile (x, y) = columns x R rows; B may be one bank of a larger matrix: its row bRow0 + j is column j, written at outCol0 + j
// grouped:  rows are sorted by expert; tiles (expert, first row, rows) were listed by the expert sort; one dispatch per bank of experts
//           [expert0, expert1); with gatherA the row of A is rowToken[sorted row]. A tile of at most L rows takes a shorter body.
// swiglu:   half of the column groups are gate, half up (row upRow + j of B); out = silu(gate) * up
// out:      'rows'   f32 row-major with outStride; `accumulate` adds to what is there (residual), `bias` adds bias[column]
//           'packed' operand of the next product, element type outType
<%~ include('@packed', it) %>
<%
const { L, R, C, grouped, swiglu, aType, bType } = it;
const lanesUsed = Math.min(L, R);
const rowBlocks = Math.max(1, R / L);
const G = swiglu ? C / 2 : C; /* output column groups */
const f16Out = it.out === 'packed' && it.outType === 'f16';
const range = (n) => [...Array(n).keys()];
%>
enable subgroups;
<% if (f16Out) { %>enable f16;<% } %>
<%~ include('@product', it) %>

@compute @workgroup_size(<%= L %>)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
<% if (grouped) { %>
  let tileIndex = tileBase[p.expert0] + group.y;
  if (tileIndex >= tileBase[p.expert1]) { return; }
  let tile = tiles[tileIndex];
  let row0 = tile.y;
  let rows = tile.z;
  let base = (tile.x - p.expert0) * p.expertStride + p.matrixOffset;
<% } else { %>
  let row0 = group.y * <%= R %>u;
  let rows = min(<%= R %>u, p.rows - row0);
  let base = p.matrixOffset;
<% } %>
  let col0 = group.x * <%= G * L %>u + lane;
<% for (const j of range(C)) {
     const column = `min(col0 + ${(j % G) * L}u, p.cols - 1u)`;
     const row = swiglu && j >= G ? `p.upRow + ${column}` : `p.bRow0 + ${column}`; %>
  let br<%= j %> = <%= row %>;
  let pb<%= j %> = base + ((br<%= j %> >> 3u) * p.k8 * 8u + (br<%= j %> & 7u)) * <%= it.lib.units(bType) %>u;
<% } %>
<% const body = (blocks, used) => { %>
<% for (const i of range(blocks)) { %>
  let ir<%= i %> = min(<%= i * L %>u + lane, rows - 1u);
  let ar<%= i %> = <%= it.gatherA ? `rowToken[row0 + ir${i}]` : `row0 + ir${i} + p.firstRow` %>;
  let pa<%= i %> = ((ar<%= i %> >> 3u) * p.k8 * 8u + (ar<%= i %> & 7u)) * <%= it.lib.units(aType) %>u;
<% } %>
  <% for (const r of range(blocks * used)) { for (const j of range(C)) { %>var c<%= r %>_<%= j %> = 0.0; <% } } %>

  for (var cell = 0u; cell < p.k8; cell++) {
    <% for (const j of range(C)) { %>
    <%= it.lib.loadCell('b' + j, 'b', `pb${j} + cell * ${8 * it.lib.units(bType)}u`, bType) %> <%= it.lib.splitCell('b' + j, bType) %>
    <% } for (const i of range(blocks)) { %>
    <%= it.lib.loadCell('a' + i, 'a', `pa${i} + cell * ${8 * it.lib.units(aType)}u`, aType) %> <%= it.lib.splitCell('a' + i, aType) %>
    <% } for (const i of range(blocks)) { for (const r of range(used)) { const c = `c${i * used + r}`; %>
    { <% for (const k of range(8)) { %>let s<%= k %> = subgroupBroadcast(a<%= i %>_e<%= k %>, <%= r %>u); <% } %>
      <% for (const j of range(C)) { %><%= c %>_<%= j %> = <%= range(8).reduce((sum, k) => `(${sum} + s${k} * b${j}_e${k})`, `${c}_${j}`) %>; <% } %> }
    <% } } %>
  }
<% for (const j of range(G)) { %>
  { let column = col0 + <%= j * L %>u;
    if (column < p.cols) {
<% for (const r of range(blocks * used)) {
     const value = swiglu ? `silu(c${r}_${j}) * c${r}_${j + G}` : `c${r}_${j}`; %>
      if (<%= r %>u < rows) { <% if (it.out === 'rows') { %>let at = (row0 + <%= r %>u) * p.outStride + p.outCol0 + column; out[at] = <%= it.accumulate ? 'out[at] + ' : '' %><%= value %><%= it.bias ? ' + bias[p.outCol0 + column]' : '' %>;<% } else { %>
        let row = row0 + <%= r %>u; out[((row >> 3u) * p.outStride + (column >> 3u)) * 64u + (row & 7u) * 8u + (column & 7u)] = <%= f16Out ? `f16(clamp(${value}, -65504.0, 65504.0))` : value %>;<% } %> }
<% } %>
    }
  }
<% } %>
<% }; %>
<% if (grouped && rowBlocks > 1) { %>
  if (rows > <%= L %>u) { <% body(rowBlocks, lanesUsed); %> } else { <% body(1, lanesUsed); %> }
<% } else { body(rowBlocks, lanesUsed); } %>
}
