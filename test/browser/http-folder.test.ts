/** A model folder over HTTP against the same folder on disk. */
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openHttpFolder, openBrowserModel, type HttpFolderOptions } from '../../src/browser/index.ts';
import { expertReader } from '../../src/browser/expert-reader.ts';
import { expertLayout, packExpert } from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { openFolder } from '../../src/node/files.ts';
import { serveFolder, type Misbehave, type StaticServer } from './static-server.ts';

const FOLDER = fileURLToPath(new URL('../../models/spam-mail', import.meta.url));

let server: StaticServer;
beforeAll(async () => {
  server = await serveFolder(FOLDER);
});
afterAll(() => server.close());
afterEach(() => {
  server.misbehave = () => false;
});
const nameOf = (path: string): string => `${server.url.href}${path}`;
const status = (code: number): Misbehave => (_, response) => {
  response.writeHead(code).end('no');
  return true;
};

describe('a folder on a server', () => {
  it('has the files, sizes, texts and bytes of the folder on disk', async () => {
    const [there, here] = [openHttpFolder(server.url), await openFolder(FOLDER)];
    for (const path of ['config.json', 'model.safetensors', 'nothing.json']) expect([path, await there.exists(path)]).toEqual([path, await here.exists(path)]);
    expect(await there.size('model.safetensors')).toBe(await here.size('model.safetensors'));
    expect(await there.text('config.json')).toBe(await here.text('config.json'));
    expect(await there.read('model.safetensors', 1000, 77)).toEqual(await here.read('model.safetensors', 1000, 77));
    expect(await there.read('model.safetensors', 1000, 0)).toEqual(new Uint8Array(0));
    await here.close();
  });

  it('is named by its address, with or without a slash at its end, and read relative to it', async () => {
    const folder = openHttpFolder(new URL(server.url.href.slice(0, -1)));
    expect(folder.name).toBe(server.url.href.slice(0, -1));
    expect(JSON.parse(await folder.text('config.json'))).toMatchObject({ model_type: 'qwen3_moe' });
  });

  it('counts what it received', async () => {
    const folder = openHttpFolder(server.url);
    await folder.read('model.safetensors', 0, 100);
    const text = await folder.text('template.jinja');
    expect(folder.receivedBytes).toBe(100 + text.length);
  });

  it('asks for no file that is not there, when it is told what is there', async () => {
    const folder = openHttpFolder(server.url, { names: ['config.json'] });
    const before = server.requests.length;
    expect([await folder.exists('config.json'), await folder.exists('chat_template.jinja')]).toEqual([true, false]);
    expect(server.requests.length).toBe(before);
  });

  it('lets the browser keep nothing, unless it is told to', async () => {
    const fetched = vi.spyOn(globalThis, 'fetch');
    const cacheModes = async (options: HttpFolderOptions): Promise<unknown[]> => {
      const folder = openHttpFolder(server.url, options);
      await Promise.all([folder.read('model.safetensors', 0, 8), folder.text('config.json')]);
      return fetched.mock.calls.splice(0).map(([, init]) => init?.cache);
    };
    expect(await cacheModes({})).toEqual(['no-store', 'no-store']);
    expect(await cacheModes({ cache: 'force-cache' })).toEqual(['force-cache', 'force-cache']);
    fetched.mockRestore();
  });
});

describe('errors name the file and what is wrong', () => {
  const problems: [string, Misbehave, (read: ReturnType<typeof openHttpFolder>) => Promise<unknown>, string][] = [
    ['a missing text', () => false, (folder) => folder.text('nothing.json'), 'nothing.json: no such file (status 404)'],
    ['the size of a missing file', () => false, (folder) => folder.size('nothing.json'), 'nothing.json: no such file (status 404)'],
    ['bytes beyond the end', () => false, (folder) => folder.read('template.jinja', 90, 20), 'template.jinja: ends at byte 99; expected 110 bytes at least'],
    ['bytes far beyond the end', () => false, (folder) => folder.read('template.jinja', 900, 20), 'template.jinja: ends at byte 900; expected 920 bytes at least'],
    ['a server without ranges', status(200), (folder) => folder.read('template.jinja', 0, 4),
      'template.jinja: the server sends the whole file where a part was asked for; expected one that answers range requests (status 206)'],
    ['a server that fails', status(503), (folder) => folder.exists('config.json'), 'config.json: the server answered 503 Service Unavailable'],
    ['a line that is cut', (request) => { request.socket.destroy(); return true; }, (folder) => folder.text('config.json'), 'config.json: cannot be fetched: fetch failed'],
  ];
  it.each(problems)('%s', async (_, misbehave, use, text) => {
    server.misbehave = misbehave;
    await expect(use(openHttpFolder(server.url))).rejects.toMatchObject({ name: 'InputError', message: nameOf(text) });
  });

  it.each([
    ['never answers', () => true],
    ['stops in the middle', (_, response) => {
      response.writeHead(206, { 'Content-Range': 'bytes 0-9/100', 'Content-Length': 10 }).write('half');
      return true;
    }],
  ] satisfies [string, Misbehave][])('a server that %s has a deadline', async (_, misbehave) => {
    server.misbehave = misbehave;
    const folder = openHttpFolder(server.url, { deadlineMs: 200 });
    await expect(folder.read('model.safetensors', 0, 10)).rejects.toThrow(`${nameOf('model.safetensors')}: did not come within 0.2 s`);
  });

  it('a closed folder ends what is being fetched', async () => {
    server.misbehave = () => true; // never answers
    const folder = openHttpFolder(server.url);
    const reading = folder.read('model.safetensors', 0, 8);
    await Promise.resolve();
    await folder.close();
    await expect(reading).rejects.toThrow(`${folder.name}: was closed`);
  });
});

describe('a model over HTTP', () => {
  it('is opened without reading a weight', async () => {
    const model = await openBrowserModel(server.url);
    server.sentBytes.clear();
    const again = await openBrowserModel(server.url);
    const dataOffset = 8 + Number(new DataView((await model.files.read('model.safetensors', 0, 8)).buffer).getBigUint64(0, true));
    expect(server.sentBytes.get('model.safetensors')).toBeLessThanOrEqual(dataOffset + 1 + 8); // header, the byte that tells the size, and the line above
    expect(again.weights.modelHash).toBe(model.weights.modelHash);
    await Promise.all([model.close(), again.close()]);
  });

  it('gives experts packed as the engine packs them from disk, neighbours in one request', async () => {
    const [model, disk] = [await openBrowserModel(server.url), await openCheckpoint(await openFolder(FOLDER))];
    const layout = expertLayout(disk.config, 'bf16');
    const expected = new Uint8Array(3 * layout.expertBytes);
    for (let e = 0; e < 3; e++) packExpert(await disk.expert(2, 4 + e), layout, expected.subarray(e * layout.expertBytes, (e + 1) * layout.expertBytes));
    const before = server.requests.length;
    const packed = new Uint8Array(3 * layout.expertBytes).fill(0xff);
    await expertReader(model.weights, 'bf16').read(2, 4, 3, packed);
    expect(packed).toEqual(expected);
    expect(server.requests.slice(before)).toHaveLength(1);
    await Promise.all([model.close(), disk.close()]);
  });
});
