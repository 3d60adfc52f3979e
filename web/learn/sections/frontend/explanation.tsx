/** The section in words, for who comes to it without any: what is shared, how it is decided, and where the code and the paper say so. */

const PAPER = 'https://arxiv.org/abs/2605.02960';

export const WhatAPrefixIs = () => (
  <>
    <p>
      A model that reads a prompt (the <em>prefill</em>) works out, for each token and in each layer, a key and a value: <em>KV</em>, what later tokens look
      back at. They depend on the tokens up to that one and on nothing else. So when prompts begin alike, with the same instruction, document or profile,
      the KV of that common <strong>prefix</strong> can stay in an engine's cache and be used again instead of computed again. Here every prompt is a
      coloured prefix of 128 tokens and a grey suffix of its own; caches keep blocks of 16 tokens.
    </p>
    <p>
      The <strong>frontend</strong> decides which engine computes which request, and wants two things at once: that a request goes where its prefix is
      known, and that no engine starts with less work than <strong>T</strong>. A batch of T FLOPs computes for a little longer (by the margin γ) than the
      experts of its layers are on their way; with much less, the engine waits for them.
    </p>
  </>
);

export const HowItDecides = () => (
  <>
    <h3>How it decides</h3>
    <dl class="how">
      <dt>The longest known prefix</dt>
      <dd>
        A block's hash covers all tokens up to its end, so equal hashes are an equal prefix. For each engine the frontend keeps two sets of hashes: what the
        engine said that it has (solid), and what requests on their way will leave there (hatched). A request goes to the engine below T that has most of
        its leading blocks; without any, to the smallest load. <span class="faint">Paper, section 7.2; <code>src/serving/prefix-policy.ts</code>, <code>prefix-table.ts</code></span>
      </dd>
      <dt>Work is counted in FLOPs</dt>
      <dd>
        Ten requests with one prefix cost one prefix and ten suffixes, not ten prompts: layers of a vessel are as high as what is left to
        compute. <span class="faint">Section 7.3; <code>src/serving/request-flops.ts</code>, <code>src/model/flops.ts</code></span>
      </dd>
      <dt>Up to T, and no more</dt>
      <dd>
        An engine takes requests while its load is below T. The one that passes the line may stick out, so a full batch has a load in [T, T + last request]: no
        engine starts with too little, and none gets much more than another. T = MoE layers x t<sub>EP</sub> x F x γ, worked out from the hardware when a server
        starts; the margin γ is the page's. <span class="faint">Sections 6.2 and 7.4; <code>src/serving/saturation.ts</code></span>
      </dd>
      <dt>Spill-over by itself</dt>
      <dd>
        When a prefix is asked for more than its engine can take, that engine is at T and is not asked: the next request goes to the next best one, which computes
        the prefix once and is from then on a second home for it. No rule says when to copy a prefix. With less to do, the copy is forgotten like any block that
        nobody uses (the longest unused first). <span class="faint">Section 7.4; <code>src/engine/prefix/prefix-cache.ts</code></span>
      </dd>
      <dt>What the others do</dt>
      <dd>
        They give a request away when it comes, without a look at prefixes, and an engine starts with whatever is there. So each prefix is computed on every engine,
        caches forget one for the other, and many batches are below T: their engines wait for experts (red). <span class="faint">Sections 7.1 and 8; <code>src/serving/baseline-policy.ts</code></span>
      </dd>
    </dl>
    <p class="faint">
      Drawn is the server's own scheduler (<code>src/serving/scheduler.ts</code>) with the engines' own cache index, in the simulator
      (<code>src/sim/serving/replay.ts</code>): some layers of the <a href={PAPER}>paper</a>'s model, slowed down so that they take as long as all of them at
      F = 316 TFLOP/s. <code>asyncep bench router</code> does the same with the paper's workloads, and simulates every layer.
    </p>
  </>
);
