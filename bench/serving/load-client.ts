/** Sends a list of requests over so many connections, each the next one as soon as it has its answer. */
import { Agent } from 'node:http';
import { answerParent } from './child.ts';
import { type Asked, post } from './post.ts';

export interface Load {
  readonly url: string;
  readonly connections: number;
  readonly requests: readonly Asked[];
}

export interface Loaded {
  readonly wallMs: number;
  /** Of this process. */
  readonly cpuMs: number;
  /** In the order of the requests. */
  readonly bodies: readonly string[];
}

let agent: Agent | null = null;

/** Connections stay open from one load to the next with as many. */
function agentOf(connections: number): Agent {
  if (agent?.maxSockets !== connections) {
    agent?.destroy();
    agent = new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections });
  }
  return agent;
}

answerParent(async ({ url, connections, requests }: Load): Promise<Loaded> => {
  const to = new URL(url);
  const using = agentOf(connections);
  const bodies: string[] = [];
  let next = 0;
  const client = async (): Promise<void> => {
    for (let at = next++; at < requests.length; at = next++) {
      const { status, body } = await post(to, using, requests[at]!);
      if (status !== 200) throw new Error(`${status}: ${body.slice(0, 300)}`);
      bodies[at] = body;
    }
  };
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  await Promise.all(Array.from({ length: connections }, client));
  const { user, system } = process.cpuUsage(startCpu);
  return { wallMs: performance.now() - startMs, cpuMs: (user + system) / 1e3, bodies };
});
