/** Pieces of formulas. */
import type { ComponentChildren } from 'preact';

type Part = { readonly children: ComponentChildren };

/** A name, with what stands below it. */
export const Name = ({ of, sub }: { readonly of: string; readonly sub?: string }) => (sub === undefined ? <mi>{of}</mi> : <msub><mi>{of}</mi><mtext>{sub}</mtext></msub>);
/** A number with its unit. */
export const Value = ({ children }: Part) => <mtext class="value">{children}</mtext>;
export const Sign = ({ children }: Part) => <mo>{children}</mo>;
export const Fraction = ({ above, below }: { readonly above: ComponentChildren; readonly below: ComponentChildren }) => <mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>;
export const Row = ({ children }: Part) => <math displaystyle={true}><mrow>{children}</mrow></math>;
