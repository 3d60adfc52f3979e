/**
 * Every error that a user can meet, in one place. Each text says what is wrong, where, and what was expected
 * or what to do about it. The command line prints the message alone (the stack only under `--verbose`).
 */

/** Base class: an error whose message is meant for the user. */
export class AsyncepError extends Error {
  /** Exit code of the command line: 2 for bad input, 1 for a failure while running, 3 for a missing adapter. */
  readonly exitCode: number = 1;
  override name = 'AsyncepError';
}

/** Something that was given to us is wrong. Names the file (or flag), the field and what was expected. */
export class InputError extends AsyncepError {
  override readonly exitCode = 2;
  override name = 'InputError';
  constructor(
    /** File, flag or request part the problem is in. */
    readonly source: string,
    /** Field, tensor or line inside `source`; empty when the whole of it is meant. */
    readonly field: string,
    /** What is wrong and what was expected, as half a sentence. */
    readonly problem: string,
  ) {
    super(field === '' ? `${source}: ${problem}` : `${source}: ${field}: ${problem}`);
  }
}

/** No adapter, or none of the wanted name. */
export class AdapterError extends AsyncepError {
  override readonly exitCode: number = 3;
  override name = 'AdapterError';
}

/** The device ended (driver crash, out of memory) or refused an operation. */
export class DeviceError extends AsyncepError {
  override name = 'DeviceError';
}

/** The device memory allowance would be exceeded: a DeviceError that tells so by its class. */
export class AllowanceError extends DeviceError {}

/** A rank process died, hung past its deadline, or reported a failure. */
export class RankError extends AsyncepError {
  override name = 'RankError';
  constructor(readonly rank: number, problem: string) {
    super(`rank ${rank}: ${problem}`);
  }
}

/** A shared-memory segment cannot be trusted: wrong magic, version, model, geometry or checksum. */
export class SegmentError extends AsyncepError {
  override name = 'SegmentError';
  constructor(readonly path: string, field: string, problem: string) {
    super(`segment ${path}: ${field}: ${problem}`);
  }
}
