// Scores of whole rows of logits: how likely each token is, and which are likeliest. For row r, V logits x:
//   normalizer = m + log(sum_i exp(x_i - m)), m = max x;   the logit of next[r];   the k largest, the smaller token first among equals.
//
// logits  f32 [rows, V], read as bits     next  u32 [rows], NONE where no token follows: its logit is told as 0
// scores  [.., 2 + 2k] words from row firstRow on: normalizer (f32), logit of next (f32), k tokens (u32), their k logits (f32); k <= V
//
// A workgroup of 256 takes a row; thread t has the tokens i with i % 256 == t, so that neighbours load neighbours. Each thread keeps the best of its
// tokens; k times the best of all is told, and only the thread that had it looks for its next one: V + k V / 256 loads instead of k V, and nothing is
// written to logits. Best of all in two steps of 16, not a tree: barriers are what costs on software adapters.
//
// Logits are compared as integers in the same order: exact on every adapter, infinities and subnormal numbers included.
struct Params { vocabulary: u32, top: u32, firstRow: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read> next: array<u32>;
@group(0) @binding(3) var<storage, read_write> scores: array<u32>;

const THREADS = 256u;
const NONE = 0xffffffffu;

/* A token and the key of its logit: x key, y token. */
var<workgroup> bests: array<vec2<u32>, 256>;
var<workgroup> groupBests: array<vec2<u32>, 16>;
var<workgroup> winner: vec2<u32>;
var<workgroup> sums: array<f32, 256>;

/* Order of keys = order of the numbers; -0 equals 0. */
fn keyOf(bits: u32) -> u32 {
  if ((bits << 1u) == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn better(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return select(b, a, a.x > b.x || (a.x == b.x && a.y < b.y));
}

/* The best of this thread's tokens behind `last`. */
fn bestBehind(last: vec2<u32>, row: u32, lane: u32) -> vec2<u32> {
  var best = vec2<u32>(0u, NONE);
  for (var i = lane; i < p.vocabulary; i += THREADS) {
    let key = keyOf(logits[row + i]);
    let free = key < last.x || (key == last.x && i > last.y);
    if (free && key > best.x) { best = vec2<u32>(key, i); }
  }
  return best;
}

fn bestOfAll(own: vec2<u32>, lane: u32) -> vec2<u32> {
  bests[lane] = own;
  workgroupBarrier();
  if (lane < 16u) {
    var best = bests[lane];
    for (var j = lane + 16u; j < THREADS; j += 16u) { best = better(best, bests[j]); }
    groupBests[lane] = best;
  }
  workgroupBarrier();
  if (lane == 0u) {
    var best = groupBests[0];
    for (var j = 1u; j < 16u; j++) { best = better(best, groupBests[j]); }
    winner = best;
  }
  return workgroupUniformLoad(&winner);
}

/* Sum over the row of exp(x - the largest), told to thread 0. */
fn sumOfPowers(largest: vec2<u32>, row: u32, lane: u32) -> f32 {
  let m = bitcast<f32>(logits[row + largest.y]);
  var sum = 0.0;
  for (var i = lane; i < p.vocabulary; i += THREADS) {
    let bits = logits[row + i];
    // exp(-200) is 0; no infinity is taken from another or put into exp.
    sum += exp(select(max(bitcast<f32>(bits) - m, -200.0), 0.0, keyOf(bits) == largest.x));
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < 16u) {
    sum = 0.0;
    for (var j = lane; j < THREADS; j += 16u) { sum += sums[j]; }
    sums[lane] = sum;
  }
  workgroupBarrier();
  sum = 0.0;
  for (var j = 0u; j < 16u; j++) { sum += sums[j]; }
  return sum;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * p.vocabulary;
  let to = (p.firstRow + group.x) * (2u + 2u * p.top);
  var own = bestBehind(vec2<u32>(NONE, 0u), row, lane);
  var best = bestOfAll(own, lane);
  let sum = sumOfPowers(best, row, lane);
  if (lane == 0u) {
    scores[to] = bitcast<u32>(bitcast<f32>(logits[row + best.y]) + log(sum));
    let follower = next[group.x];
    scores[to + 1u] = 0u;
    if (follower != NONE) { scores[to + 1u] = logits[row + follower]; }
  }
  for (var j = 0u; j < p.top; j++) {
    if (lane == 0u) {
      scores[to + 2u + j] = best.y;
      scores[to + 2u + p.top + j] = logits[row + best.y];
    }
    if (j + 1u < p.top) {
      if (best.y % THREADS == lane) { own = bestBehind(best, row, lane); }
      best = bestOfAll(own, lane);
    }
  }
}
