// Packets: out row r = (source[unit / unitsPerToken, :] as wire type, ids of the unit, weights of the unit), unit = unitOf[r] or r.
//
// source  packed operand [tokens, H] (panel layout)     wire  u32 words: packets of rowWords + 2 choices, back to back
// unitOf  u32 [rows]      total  its word totalIndex = rows that exist (the host only knows their upper limit)
// ids     u32 [units, choices]      weights  f32 [units, choices], carried as bits
// A workgroup a row, a thread every 64th of its cell rows of 8 elements, then ids and weights: no division to find out who does what.
<% it.packs = false; it.loads = false; it.stores = true; %><%~ include('@packed', it) %>
struct Params { rows: u32, k8: u32, hidden: u32, rowWords: u32, choices: u32, unitsPerToken: u32, totalIndex: u32 }
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
  let row = rowOfGroup(group);
  if (row >= <%= it.counted ? 'min(p.rows, total[p.totalIndex])' : 'p.rows' %>) { return; }
  let unit = <%= it.listed ? 'unitOf[row]' : 'row' %>;
  let base = row * (p.rowWords + 2u * p.choices);
  let token = unit / p.unitsPerToken;
  let first = (token >> 3u) * p.k8 * 8u + (token & 7u);
  for (var cell = lane; cell < p.k8; cell += 64u) {
    let at = (first + cell * 8u) * <%= it.lib.units(it.aType) %>u;
    <%= it.lib.loadCell('v', 'source', 'at', it.aType) %>
    storeQuad(base, 2u * cell, <%= it.lib.halfCell('v', 0, it.aType) %>);
    storeQuad(base, 2u * cell + 1u, <%= it.lib.halfCell('v', 1, it.aType) %>);
  }
<% if (it.meta) { %>
  let tail = base + p.rowWords;
  for (var j = lane; j < p.choices; j += 64u) {
    wire[tail + j] = ids[unit * p.choices + j];
    wire[tail + p.choices + j] = weights[unit * p.choices + j];
  }
<% } %>
}
