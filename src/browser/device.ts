/** The browser's WebGPU device, and what to say where there is none. */
import { AdapterError } from '../errors.ts';
import { GpuDevice, type DeviceOptions } from '../runtime/device.ts';
import { whyNoWebGpu } from './webgpu.ts';

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
  if (gpu === undefined) throw new AdapterError(whyNoWebGpu());
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new AdapterError(NO_ADAPTER);
  return GpuDevice.open(adapter, options);
}
