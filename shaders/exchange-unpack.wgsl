// Packets into operands: y[r, :] = row of packet list[r] (or r), ids[r, j] = id - firstExpert, or `experts` with weight 0 when it is elsewhere.
//
// wire  u32 words: packets of rowWords + 2 choices, back to back     list  u32 [rows]
// y     packed operand [rows, H] (panel layout; zero where H is padded to 8, rows beyond the last are left alone: products read none)
// ids   u32 [rows, choices]      weights  f32 [rows, choices], carried as bits
// A thread copies one cell row of 8 elements; with `meta` a row's last thread takes ids and weights, which are few.
<% it.packs = it.aType !== 'f32'; it.loads = true; it.stores = false; %><%~ include('@packed', it) %>
struct Params { rows: u32, pieces: u32, k8: u32, hidden: u32, rowWords: u32, choices: u32, firstExpert: u32, experts: u32 }
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
  let at = rowAndPiece(group, lane);
  if (at.x >= p.rows) { return; }
  let base = <%= it.listed ? 'list[at.x]' : 'at.x' %> * (p.rowWords + 2u * p.choices);
<% if (it.meta) { %>
  if (at.y == p.k8) {
    let tail = base + p.rowWords;
    for (var j = 0u; j < p.choices; j++) {
      let local = min(wire[tail + j] - p.firstExpert, p.experts); // wraps below the first, so that one comparison is enough
      ids[at.x * p.choices + j] = local;
      weights[at.x * p.choices + j] = select(0u, wire[tail + p.choices + j], local < p.experts);
    }
    return;
  }
<% } %>
  let low = loadQuad(base, 2u * at.y);
  let high = loadQuad(base, 2u * at.y + 1u);
  let cell = ((at.x >> 3u) * p.k8 + at.y) * 8u + (at.x & 7u);
  <%= it.lib.storeCell('y', `cell * ${it.lib.units(it.aType)}u`, 'low', 'high', it.aType) %>
}
