// Causal attention over packed sequences: out[t, h, :] = sum_j softmax_j(q[t, h] . k[j, g(h)]) v[j, g(h)], j <= position of t.
//
// A lane holds QB queries (rows qb * L + lane of the tile); keys and values come in blocks of 16 tokens through a block table, a lane
// loads one key's cell row and `subgroupBroadcast` hands each element to all queries. So a row's maximum, sum and probabilities
// stay in its own lane: the online softmax needs no reduction across lanes, and K and V have the same layout.
// A step takes KT keys (KT / 16 blocks). The loops over d are real loops: the text does not grow with the head dimension.
//
// tiles   vec4<u32>: first row (of q and out), rows (at most QB * L), position of the first row, offset into blockTable
// q       [T, n_q, d] scaled; keys, values as rope-kv.wgsl writes them; out: packed operand [T, n_q d]
// grid    (n_q, tiles). Rows do not see how they were tiled: a masked key adds an exact zero. Slots behind the tile's last token are never
//         read (its own token is, instead): a NaN that an earlier sequence left there would survive the multiplication by zero.
enable subgroups;
<% it.packs = it.aType !== 'f32'; %><%~ include('@packed', it) %>
<%
const { L, QB, KT, d, kvType, aType } = it;
const cells = d / 8;
const blocks = KT / 16;
const perBlock = Math.max(1, 16 / L); /* key groups of a block */
const groups = blocks * perBlock;
const keyLanes = Math.min(16, L);
const range = (n) => [...Array(n).keys()];
const u = it.lib.units(kvType);
%>
<%~ include('@attention', it) %>

@compute @workgroup_size(<%= L %>)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let tile = tiles[group.y];
  let kvHead = head / (p.queryHeads / p.kvHeads);
  <% for (const b of range(QB)) { %>
  let in<%= b %> = min(<%= b * L %>u + lane, tile.y - 1u);
  let row<%= b %> = tile.x + in<%= b %>;
  let position<%= b %> = tile.z + in<%= b %>;
  let q<%= b %>At = (row<%= b %> * p.queryHeads + head) * <%= cells * u %>u;
  var top<%= b %> = LOWEST;
  var sum<%= b %> = 0.0;
  var o<%= b %>: array<vec4<f32>, <%= 2 * cells %>>;
  <% } %>
  let last = tile.z + tile.y - 1u;
  let blockCount = (last + 16u) / 16u;
  // this lane's token among the first that a key group touches
  let key = lane & <%= keyLanes - 1 %>u;
  for (var first = 0u; first < blockCount; first += <%= blocks %>u) {
    <% for (const n of range(blocks)) { %>
    let at<%= n %> = min(first + <%= n %>u, blockCount - 1u);
    let block<%= n %> = (blockTable[tile.w + at<%= n %>] * p.kvHeads + kvHead) * <%= cells * 16 %>u;
    <% } for (const g of range(groups)) { const start = (g % perBlock) * keyLanes; %>
    let t<%= g %> = min(<%= start %>u + key, last - at<%= Math.floor(g / perBlock) %> * 16u);
    let k<%= g %>At = (block<%= Math.floor(g / perBlock) %> + (t<%= g %> >> 3u) * <%= cells * 8 %>u + (t<%= g %> & 7u)) * <%= u %>u;
    <% } for (const b of range(QB)) { for (const j of range(KT)) { %>var s<%= b %>_<%= j %> = 0.0; <% } } %>

    for (var c = 0u; c < <%= cells %>u; c++) {
      <% for (const b of range(QB)) { %>
      <%= it.lib.loadCell('q' + b, 'q', `q${b}At + c * ${u}u`, kvType) %> <%= it.lib.splitCell('q' + b, kvType) %>
      <% } for (const g of range(groups)) { %>
      <%= it.lib.loadCell('k' + g, 'keys', `k${g}At + c * ${8 * u}u`, kvType) %> <%= it.lib.splitCell('k' + g, kvType) %>
      <% } for (const j of range(KT)) { const g = Math.floor(j / keyLanes); %>
      { <% for (const e of range(8)) { %>let x<%= e %> = subgroupBroadcast(k<%= g %>_e<%= e %>, <%= j % keyLanes %>u); <% } %>
        <% for (const b of range(QB)) { %>s<%= b %>_<%= j %> = <%= range(8).reduce((sum, e) => `(${sum} + x${e} * q${b}_e${e})`, `s${b}_${j}`) %>; <% } %> }
      <% } %>
    }
    let key0 = first * 16u;
    <% for (const b of range(QB)) { %>
    let left<%= b %> = i32(position<%= b %>) - i32(key0); // keys up to this one are seen
    var new<%= b %> = top<%= b %>;
    <% for (const j of range(KT)) { %>s<%= b %>_<%= j %> = select(LOWEST, s<%= b %>_<%= j %>, left<%= b %> >= <%= j %>); new<%= b %> = max(new<%= b %>, s<%= b %>_<%= j %>); <% } %>

    let scale<%= b %> = exp(top<%= b %> - new<%= b %>);
    top<%= b %> = new<%= b %>;
    sum<%= b %> = sum<%= b %> * scale<%= b %>;
    <% for (const j of range(KT)) { %>let p<%= b %>_<%= j %> = select(0.0, exp(s<%= b %>_<%= j %> - new<%= b %>), left<%= b %> >= <%= j %>); sum<%= b %> += p<%= b %>_<%= j %>; <% } %>

    <% } %>
    for (var c = 0u; c < <%= cells %>u; c++) {
      <% for (const g of range(groups)) { %>
      <%= it.lib.loadCell('v' + g, 'values', `k${g}At + c * ${8 * u}u`, kvType) %> <%= it.lib.splitCell('v' + g, kvType) %>
      <% } for (const b of range(QB)) { %>
      let low<%= b %> = o<%= b %>[c * 2u] * scale<%= b %>; let high<%= b %> = o<%= b %>[c * 2u + 1u] * scale<%= b %>;
      <% for (const e of range(8)) { %>var a<%= b %>_<%= e %> = <%= e < 4 ? 'low' : 'high' %><%= b %>.<%= 'xyzw'[e & 3] %>; <% } %>
      <% } %>

      <% for (const e of range(8)) { for (const j of range(KT)) { const g = Math.floor(j / keyLanes); %>
      { let x = subgroupBroadcast(v<%= g %>_e<%= e %>, <%= j % keyLanes %>u); <% for (const b of range(QB)) { %>a<%= b %>_<%= e %> += p<%= b %>_<%= j %> * x; <% } %>}
      <% } } for (const b of range(QB)) { %>
      o<%= b %>[c * 2u] = vec4<f32>(a<%= b %>_0, a<%= b %>_1, a<%= b %>_2, a<%= b %>_3); o<%= b %>[c * 2u + 1u] = vec4<f32>(a<%= b %>_4, a<%= b %>_5, a<%= b %>_6, a<%= b %>_7);
      <% } %>
    }
  }
  let k8 = p.queryHeads * <%= cells %>u;
  <% for (const b of range(QB)) { %>
  if (<%= b * L %>u + lane < tile.y) {
    let to = ((row<%= b %> >> 3u) * k8 + head * <%= cells %>u) * 8u + (row<%= b %> & 7u);
    let inverse = 1.0 / sum<%= b %>;
    for (var c = 0u; c < <%= cells %>u; c++) {
      let low = o<%= b %>[c * 2u] * inverse; let high = o<%= b %>[c * 2u + 1u] * inverse;
      <%= it.lib.storeCell('out', `(to + c * 8u) * ${it.lib.units(aType)}u`, 'low', 'high', aType) %>
    }
  }
  <% } %>
}
