/**
 * Kubernetes quantities ("500m", "1.5Gi"). The API server stores most of them in a canonical form; Bulkhead renders that
 * form itself, so that what it sends and what it reads back are the same text and comparing them finds no false drift.
 *
 * Rules: k8s.io/apimachinery/pkg/api/resource/quantity.go (`ParseQuantity`, `CanonicalizeBytes`). Values are exact
 * rational numbers of thousandths here, which is enough for cpu ("m") and memory; finer fractions are refused.
 */
export const QUANTITY_FORMAT = /^([0-9]+)(?:\.([0-9]+))?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/;

const DECIMAL: readonly string[] = ['m', '', 'k', 'M', 'G', 'T', 'P', 'E'];
const BINARY: readonly string[] = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

/**
 * About 8 Pi. The API server cuts what does not fit 63 bits, so that it would read back other than it was sent; with
 * this limit a thousand workers' quota fits as well.
 */
export const MAX_MILLI = 2n ** 63n - 1n;
/** Enough for every value up to the limit; more are not worth the arithmetic. */
const MAX_DIGITS = 24;
/** Of the longest text: a point and a suffix besides. */
export const QUANTITY_MAX_LENGTH = MAX_DIGITS + 3;

/** What a quantity must look like, for error messages. */
export const QUANTITY_EXPECTED = 'a quantity such as 500m, 2, 256Mi or 1.5Gi';

interface Parsed {
  readonly milli: bigint;
  readonly binary: boolean;
}

function suffixMilli(suffix: string): bigint {
  const binary = BINARY.indexOf(suffix);
  if (binary >= 0) return 1000n * 1024n ** BigInt(binary + 1);
  return 1000n ** BigInt(DECIMAL.indexOf(suffix));
}

function parse(text: string): Parsed | null {
  const match = QUANTITY_FORMAT.exec(text);
  if (!match) return null;
  const [, whole = '0', fraction = '', suffix = ''] = match;
  if (whole.length + fraction.length > MAX_DIGITS) return null;
  const scaled = BigInt(whole + fraction) * suffixMilli(suffix);
  const divisor = 10n ** BigInt(fraction.length);
  const milli = scaled / divisor;
  if (scaled % divisor !== 0n || milli > MAX_MILLI) return null;
  return { milli, binary: suffix.endsWith('i') };
}

/** Whether `text` is a quantity that {@link canonicalQuantity} can read exactly. */
export const isQuantity = (text: string): boolean => parse(text) !== null;

/** The value in thousandths of the unit: `"1"` is 1000n, `"1Ki"` is 1024000n. @throws TypeError on other text */
export function quantityMilli(text: string): bigint {
  const parsed = parse(text);
  if (!parsed) throw new TypeError(`expected ${QUANTITY_EXPECTED}, found ${JSON.stringify(text)}`);
  return parsed.milli;
}

function binaryText(milli: bigint): string {
  let value = milli / 1000n;
  let exponent = 0;
  while (value !== 0n && value % 1024n === 0n && exponent < BINARY.length) {
    value /= 1024n;
    exponent += 1;
  }
  return `${value}${exponent === 0 ? '' : BINARY[exponent - 1]}`;
}

/**
 * A number of thousandths as the API server would print it.
 * @param binary whether the number was written with a binary suffix (Ki, Mi …)
 */
export function formatQuantity(milli: bigint, binary: boolean): string {
  // As upstream: binary form only for whole numbers from 1024 on, decimal for all else.
  if (binary && milli % 1000n === 0n && milli >= 1_024_000n) return binaryText(milli);
  let value = milli;
  let index = 0;
  while (value !== 0n && value % 1000n === 0n && index < DECIMAL.length - 1) {
    value /= 1000n;
    index += 1;
  }
  return value === 0n ? '0' : `${value}${DECIMAL[index]}`;
}

/**
 * A text of the same value that the API server stores unchanged. (It also leaves some others as they are, such as
 * `5.886` and `007`.)
 * @throws TypeError when it is no quantity
 */
export function canonicalQuantity(text: string): string {
  const parsed = parse(text);
  if (!parsed) throw new TypeError(`expected ${QUANTITY_EXPECTED}, found ${JSON.stringify(text)}`);
  return formatQuantity(parsed.milli, parsed.binary);
}

/** `text` times a whole number, in canonical form. @throws TypeError when it is no quantity */
export function multiplyQuantity(text: string, factor: number): string {
  const parsed = parse(text);
  if (!parsed) throw new TypeError(`expected ${QUANTITY_EXPECTED}, found ${JSON.stringify(text)}`);
  return formatQuantity(parsed.milli * BigInt(factor), parsed.binary);
}
