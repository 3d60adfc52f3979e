/** The browser's WebGPU device, and what to say where there is none. */
import { AdapterError } from '../errors.ts';
import { GpuDevice, type DeviceOptions } from '../runtime/device.ts';

const WHO_HAS_IT = `
  Chrome and Edge: version 113 or later on Windows, macOS and ChromeOS, 121 on Android; on Linux switch on chrome://flags/#enable-unsafe-webgpu (edge://flags/#enable-unsafe-webgpu) and restart
  Firefox: version 141 or later on Windows, 145 on Macs with Apple silicon; elsewhere set dom.webgpu.enabled to true in about:config (Nightly)
  Safari: version 26 or later`;

const INSECURE = 'WebGPU is there only for pages that come safely: open this page by https://, or from this machine by http://localhost or http://127.0.0.1';
const NO_WEBGPU = `this browser has no WebGPU, or has it switched off.${WHO_HAS_IT}`;
const NO_ADAPTER = `this browser has WebGPU, but found no adapter to compute on.
  Switch on hardware acceleration in the browser's settings and restart it; update the driver of the GPU.
  Chrome and Edge on Linux: switch on chrome://flags/#enable-unsafe-webgpu, and #enable-vulkan if that is not enough; chrome://gpu says what is missing
  Firefox: about:support says what is missing, under Graphics`;

/**
 * Opens the preferred adapter with all that it has of the features and limits that the kernels can use. Waiting needs no pacing here:
 * the device is another process, which does not compute on this thread's time.
 * @param gpu `navigator.gpu`
 * @throws AdapterError that says what to enable, when there is no WebGPU or no adapter; DeviceError when the adapter gives no device
 */
export async function openBrowserDevice(gpu: GPU | undefined, options: DeviceOptions): Promise<GpuDevice> {
  if (gpu === undefined) throw new AdapterError(globalThis.isSecureContext ? NO_WEBGPU : INSECURE);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new AdapterError(NO_ADAPTER);
  return GpuDevice.open(adapter, options);
}
