/** What to say where there is no WebGPU. A module of its own, so that a page can say it without loading an engine. */

const WHO_HAS_IT = `
  Chrome and Edge: version 113 or later on Windows, macOS and ChromeOS, 121 on Android; on Linux switch on chrome://flags/#enable-unsafe-webgpu (edge://flags/#enable-unsafe-webgpu) and restart
  Firefox: version 141 or later on Windows, 145 on Macs with Apple silicon; elsewhere set dom.webgpu.enabled to true in about:config (Nightly)
  Safari: version 26 or later`;

const INSECURE = 'WebGPU is there only for pages that come safely: open this page by https://, or from this machine by http://localhost or http://127.0.0.1';
const NO_WEBGPU = `this browser has no WebGPU, or has it switched off.${WHO_HAS_IT}`;

/** Where `navigator.gpu` is undefined: the reason, and what to enable. */
export const whyNoWebGpu = (): string => (globalThis.isSecureContext ? NO_WEBGPU : INSECURE);
