// Packets: out row r = (source[unit / unitsPerToken, :] as wire type, ids of the unit, weights of the unit), unit = unitOf[r] or r.
//
// source  packed operand [tokens, H] (panel layout)     wire  u32 words: packets of rowWords + 2 choices, back to back
// unitOf  u32 [rows]      total  its word totalIndex = rows that exist (the host only knows their upper limit)
// ids     u32 [units, choices]      weights  f32 [units, choices], carried as bits
// A thread copies one cell row of 8 elements; with `meta` a row's last thread copies ids and weights, which are few.
<% it.packs = false; it.loads = false; it.stores = true; %><%~ include('@packed', it) %>
struct Params { rows: u32, pieces: u32, k8: u32, hidden: u32, rowWords: u32, choices: u32, unitsPerToken: u32, totalIndex: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> source: array<<%= it.lib.packedType(it.aType) %>>;
@group(0) @binding(2) var<storage, read_write> wire: array<u32>;
<% let next = 3; if (it.listed) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> unitOf: array<u32>;
<% } if (it.counted) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> total: array<u32>;
<% } if (it.meta) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> ids: array<u32>;
@group(0) @binding(<%= next++ %>) var<storage, read> weights: array<u32>;
<% } %>
<%~ include('@wire', it) %>

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = rowAndPiece(group, lane);
  if (at.x >= <%= it.counted ? 'min(p.rows, total[p.totalIndex])' : 'p.rows' %>) { return; }
  let unit = <%= it.listed ? 'unitOf[at.x]' : 'at.x' %>;
  let base = at.x * (p.rowWords + 2u * p.choices);
<% if (it.meta) { %>
  if (at.y == p.k8) {
    let to = base + p.rowWords;
    for (var j = 0u; j < p.choices; j++) {
      wire[to + j] = ids[unit * p.choices + j];
      wire[to + p.choices + j] = weights[unit * p.choices + j];
    }
    return;
  }
<% } %>
  let token = unit / p.unitsPerToken;
  let cell = (((token >> 3u) * p.k8 + at.y) * 8u + (token & 7u)) * <%= it.lib.units(it.aType) %>u;
  <%= it.lib.loadCell('v', 'source', 'cell', it.aType) %>
  storeQuad(base, 2u * at.y, <%= it.lib.halfCell('v', 0, it.aType) %>);
  storeQuad(base, 2u * at.y + 1u, <%= it.lib.halfCell('v', 1, it.aType) %>);
}
