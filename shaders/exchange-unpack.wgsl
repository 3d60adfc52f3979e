// Packets into operands: y[r, :] = row of packet list[r] (or r), ids[r, j] = id - firstExpert, or `experts` with weight 0 when it is elsewhere.
//
// wire  u32 words: packets of rowWords + 2 choices, back to back     list  u32 [rows]
// y     packed operand [rows, H] (panel layout; zero where H is padded to 8, rows beyond the last are left alone: products read none)
// ids   u32 [rows, choices]      weights  f32 [rows, choices], carried as bits
// A workgroup a row, a thread every 64th of its cell rows of 8 elements, then ids and weights: no division to find out who does what.
<% it.packs = it.aType !== 'f32'; it.loads = true; it.stores = false; %><%~ include('@packed', it) %>
struct Params { rows: u32, k8: u32, hidden: u32, rowWords: u32, choices: u32, firstExpert: u32, experts: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> wire: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<<%= it.lib.packedType(it.aType) %>>;
<% let next = 3; if (it.listed) { %>
@group(0) @binding(<%= next++ %>) var<storage, read> list: array<u32>;
<% } if (it.meta) { %>
@group(0) @binding(<%= next++ %>) var<storage, read_write> ids: array<u32>;
@group(0) @binding(<%= next++ %>) var<storage, read_write> weights: array<u32>;
<% } %>
<%~ include('@wire', it) %>

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = rowOfGroup(group);
  if (row >= p.rows) { return; }
  let base = <%= it.listed ? 'list[row]' : 'row' %> * (p.rowWords + 2u * p.choices);
  let first = (row >> 3u) * p.k8 * 8u + (row & 7u);
  for (var cell = lane; cell < p.k8; cell += 64u) {
    let low = loadQuad(base, 2u * cell);
    let high = loadQuad(base, 2u * cell + 1u);
    let at = (first + cell * 8u) * <%= it.lib.units(it.aType) %>u;
    <%= it.lib.storeCell('y', 'at', 'low', 'high', it.aType) %>
  }
<% if (it.meta) { %>
  let tail = base + p.rowWords;
  for (var j = lane; j < p.choices; j += 64u) {
    let local = min(wire[tail + j] - p.firstExpert, p.experts); // wraps below the first, so that one comparison is enough
    ids[row * p.choices + j] = local;
    weights[row * p.choices + j] = select(0u, wire[tail + p.choices + j], local < p.experts);
  }
<% } %>
}
