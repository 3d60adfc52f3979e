/** Tables for a terminal. */
import Table from 'cli-table3';

/** An empty table with lines around it and below its head only. */
export const newTable = (head: string[]): InstanceType<typeof Table> => new Table({
  head,
  chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  style: { head: [], border: [] },
});
