/** The smallest ONNX model with one MatMul, as bytes: Y[M, N] = X[M, K] W[K, N] with W inside (onnx.proto3, IR version 8, opset 17). */

const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))]);

/** Field of wire type 0 (a number) or 2 (bytes, text, message). */
function field(id, value) {
  if (typeof value === 'number') return Buffer.from([...varint(id << 3), ...varint(value)]);
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([...varint((id << 3) | 2), ...varint(bytes.length)]), bytes]);
}

const message = (...fields) => Buffer.concat(fields);

const FLOAT = 1;

/** ValueInfoProto: name, type { tensor_type { elem_type, shape { dim { dim_value } } } } */
function valueInfo(name, shape) {
  const dims = message(...shape.map((size) => field(1, field(1, size))));
  return message(field(1, name), field(2, field(1, message(field(1, FLOAT), field(2, dims)))));
}

/** TensorProto: dims, data_type, name, raw_data */
const tensor = (name, shape, values) =>
  message(...shape.map((size) => field(1, size)), field(2, FLOAT), field(8, name), field(9, new Uint8Array(values.buffer)));

/**
 * @param {Float32Array} weights [k, n]
 * @returns {Uint8Array}
 */
export function matmulModel(m, n, k, weights) {
  const node = message(field(1, 'X'), field(1, 'W'), field(2, 'Y'), field(4, 'MatMul'));
  const graph = message(
    field(1, node), field(2, 'matmul'), field(5, tensor('W', [k, n], weights)),
    field(11, valueInfo('X', [m, k])), field(12, valueInfo('Y', [m, n])),
  );
  return new Uint8Array(message(field(1, 8), field(7, graph), field(8, field(2, 17))));
}
