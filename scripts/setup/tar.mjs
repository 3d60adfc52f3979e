/** Reads tar archives (ustar): enough of the format for what npm and brotli'd bundles contain. */

const BLOCK = 512;
const REGULAR = new Set(['0', '\0']);

const text = (block, start, length) => block.toString('latin1', start, start + length).replace(/\0.*$/s, '');

/**
 * The regular files of an archive.
 * @param {Buffer} archive uncompressed
 * @returns {Map<string, Buffer>} contents by path; the buffers share the archive's memory
 */
export function tarFiles(archive) {
  const files = new Map();
  let offset = 0;
  while (offset + BLOCK <= archive.length && archive[offset] !== 0) {
    const header = archive.subarray(offset, offset + BLOCK);
    const size = Number.parseInt(text(header, 124, 12), 8);
    const prefix = text(header, 345, 155);
    const path = (prefix === '' ? '' : `${prefix}/`) + text(header, 0, 100);
    const start = offset + BLOCK;
    if (REGULAR.has(String.fromCharCode(header[156]))) files.set(path.replace(/^\.\//, ''), archive.subarray(start, start + size));
    offset = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}
