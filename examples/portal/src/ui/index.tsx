// The parts that every page is made of. Keyboard, focus and screen readers are React Aria's.
import type { CombinedError } from '@urql/core';
import { type ComponentProps, type ReactNode, createContext, useContext, useEffect, useId, useMemo, useRef, useState } from 'react';
import {
  Button as AriaButton,
  type ButtonProps,
  Checkbox as AriaCheckbox,
  CheckboxGroup as AriaCheckboxGroup,
  Dialog,
  DialogTrigger,
  FieldError,
  Heading,
  Input,
  Label,
  Modal,
  ModalOverlay,
  Text,
  TextArea,
  TextField,
  type TextFieldProps,
} from 'react-aria-components';
import { t } from '../words';
import { explain, fieldErrors } from '../words/errors';

export { DialogTrigger };

/** While it is pending it keeps the focus and does nothing. */
export function Button({ kind = 'plain', isPending = false, type = 'button', onPress, ...props }: ButtonProps & { kind?: 'plain' | 'main' | 'danger' | 'quiet' }) {
  return (
    <AriaButton
      {...props}
      type={isPending ? 'button' : type}
      onPress={(event) => (isPending ? undefined : onPress?.(event))}
      className={`button ${kind}${isPending ? ' pending' : ''}`}
    />
  );
}

/** What is to be mended in the form around, by the names of its fields. */
const Wrong = createContext<ReadonlyMap<string, string>>(new Map());

/** A form that shows at its fields what its mutation was refused for: each has the name that it has in the input. */
export function Form({ error, ...props }: ComponentProps<'form'> & { error: CombinedError | undefined }) {
  const wrong = useMemo(() => fieldErrors(error), [error]);
  return <Wrong value={wrong}><form {...props} /></Wrong>;
}

/** What is to be mended in what has this name in the input. */
export const useWrong = (name: string | undefined): string | undefined => useContext(Wrong).get(name ?? '');

interface FieldProps extends Omit<TextFieldProps, 'children' | 'onChange'> {
  label: string;
  hint?: string | undefined;
  rows?: number;
  unit?: string | undefined;
  onChange: (value: string) => void;
  placeholder?: string;
  list?: string;
}

export function Field({ label, hint, rows, unit, placeholder, list, ...props }: FieldProps) {
  const wrong = useWrong(props.name);
  return (
    // What is typed about a patient is nothing for the browser to suggest to the next person.
    <TextField autoComplete="off" {...props} className="field">
      <Label>{label}{props.isRequired || props.type === 'search' ? '' : ` (${t('may be left out')})`}</Label>
      <span className="input">
        {rows ? <TextArea rows={rows} placeholder={placeholder ?? ''} /> : <Input placeholder={placeholder ?? ''} {...(list ? { list } : {})} />}
        {unit ? <span className="unit">{unit}</span> : null}
      </span>
      {wrong || hint ? <Text slot="description" className={wrong ? 'wrong' : 'hint'}>{wrong ?? hint}</Text> : null}
      <FieldError className="wrong" />
    </TextField>
  );
}

export function Choice<T extends string>({ label, name, value, options, onChange, hint }: {
  label: string;
  name?: string | undefined;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  hint?: string;
}) {
  const id = useId();
  const wrong = useWrong(name);
  // A browser shows the first option where none has the value: `mg` for a document's `mmol`.
  const all = options.some(([key]) => key === value) ? options : [[value, value || '–'] as const, ...options];
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} aria-describedby={hint || wrong ? `${id}-hint` : undefined} aria-invalid={wrong ? true : undefined} onChange={(event) => onChange(event.target.value as T)}>
        {all.map(([key, text]) => <option key={key} value={key}>{text}</option>)}
      </select>
      {wrong || hint ? <span id={`${id}-hint`} className={wrong ? 'wrong' : 'hint'}>{wrong ?? hint}</span> : null}
    </div>
  );
}

export function Choices<T extends string>({ label, name, value, options, onChange }: {
  label: string;
  name?: string | undefined;
  value: readonly T[];
  options: readonly (readonly [T, string])[];
  onChange: (value: T[]) => void;
}) {
  const wrong = useWrong(name);
  return (
    <AriaCheckboxGroup className="choices" value={[...value]} onChange={(next) => onChange(next as T[])}>
      <Label>{label}</Label>
      <div>
        {options.map(([key, text]) => (
          <AriaCheckbox key={key} value={key} className="check">
            <span className="box" aria-hidden="true" />
            {text}
          </AriaCheckbox>
        ))}
      </div>
      {wrong ? <Text slot="description" className="wrong">{wrong}</Text> : null}
    </AriaCheckboxGroup>
  );
}

export function Check({ children, isSelected, onChange }: { children: ReactNode; isSelected: boolean; onChange: (value: boolean) => void }) {
  return (
    <AriaCheckbox className="check" isSelected={isSelected} onChange={onChange}>
      <span className="box" aria-hidden="true" />
      {children}
    </AriaCheckbox>
  );
}

/** A dialog over the page; its children get what closes it. */
export function Popup({ title, children, role = 'dialog' }: {
  title: string;
  children: (close: () => void) => ReactNode;
  role?: 'dialog' | 'alertdialog';
}) {
  return (
    <ModalOverlay className="overlay" isDismissable={role === 'dialog'}>
      <Modal className="modal">
        <Dialog role={role} className="dialog">
          {({ close }) => (
            <>
              <Heading slot="title" level={2}>{title}</Heading>
              {children(close)}
            </>
          )}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

/** A button that asks once more before it does what cannot easily be taken back. */
export function Confirm({ label, title, text, action, kind = 'plain' }: {
  label: string;
  title: string;
  text: ReactNode;
  action: () => Promise<CombinedError | undefined>;
  kind?: 'plain' | 'danger' | 'quiet';
}) {
  return (
    <DialogTrigger>
      <Button kind={kind}>{label}</Button>
      <Popup title={title} role="alertdialog">
        {(close) => <Act text={text} label={label} action={action} close={close} isDanger={kind === 'danger'} />}
      </Popup>
    </DialogTrigger>
  );
}

function Act({ text, label, action, close, isDanger }: {
  text: ReactNode;
  label: string;
  action: () => Promise<CombinedError | undefined>;
  close: () => void;
  isDanger: boolean;
}) {
  const [error, setError] = useState<CombinedError>();
  const [isBusy, setBusy] = useState(false);
  const act = async () => {
    setBusy(true);
    const failed = await action();
    setBusy(false);
    if (failed) setError(failed);
    else close();
  };
  return (
    <>
      <div className="prose">{text}</div>
      <Failure error={error} />
      <div className="actions">
        <Button kind={isDanger ? 'danger' : 'main'} isPending={isBusy} onPress={act}>{label}</Button>
        <Button onPress={close}>{t('Do nothing')}</Button>
      </div>
    </>
  );
}

/** What went wrong, what to do next, and the number to quote. */
export function Failure({ error }: { error: CombinedError | undefined }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.scrollIntoView({ block: 'nearest' }), [error]);
  if (!error) return null;
  const { code, text, field, issues, requestId } = explain(error);
  return (
    <div className="notice bad" role="alert" ref={box} data-code={code}>
      <p>{text}{field ? ` (${field})` : ''}</p>
      {issues.length > 0 ? (
        <ul>{issues.map((issue, index) => <li key={index}><code>{issue.path}</code> {issue.message}</li>)}</ul>
      ) : null}
      <p className="small">{code}{requestId ? ` · ${t('number')} ${requestId}` : ''}</p>
    </div>
  );
}

export function Notice({ kind = 'plain', children }: { kind?: 'plain' | 'good' | 'bad' | 'warn'; children: ReactNode }) {
  return <div className={`notice ${kind}`} role={kind === 'bad' ? 'alert' : 'status'}>{children}</div>;
}

export function Tag({ kind = 'plain', children }: { kind?: 'plain' | 'good' | 'bad' | 'warn'; children: ReactNode }) {
  return <span className={`tag ${kind}`}>{children}</span>;
}

/** `windowTitle` stands in the browser's history, where it outlives the log-in: never what a record says, nor of whom. */
export function Page({ title, windowTitle = title, lead, actions, children }: {
  title: string;
  windowTitle?: string;
  lead?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${windowTitle} – MediTrustAl`;
  }, [windowTitle]);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <>
      <header className="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>{title}</h1>
          {lead ? <p className="lead">{lead}</p> : null}
        </div>
        {actions ? <div className="actions">{actions}</div> : null}
      </header>
      {children}
    </>
  );
}

export function Card({ title, children, actions }: { title?: ReactNode; children: ReactNode; actions?: ReactNode }) {
  return (
    <section className="card" tabIndex={-1}>
      {title || actions ? <header>{title ? <h2>{title}</h2> : null}{actions ? <div className="actions">{actions}</div> : null}</header> : null}
      {children}
    </section>
  );
}

/** What a query has come to: its data, that it is on its way, or why not. */
export function Loaded<T>({ of, children, empty }: {
  of: { data?: T | undefined; fetching: boolean; error?: CombinedError | undefined };
  children: (data: T) => ReactNode;
  empty?: ReactNode;
}) {
  return (
    <>
      <Failure error={of.error} />
      {of.data !== undefined ? children(of.data) : of.fetching ? <p role="status" className="waiting">{t('Loading …')}</p> : of.error ? null : empty}
    </>
  );
}

/** Which page of a list is shown. */
export interface Paging {
  /** The cursor after which the page begins; null for the first one. */
  readonly after: string | null;
  readonly set: (afters: readonly string[]) => void;
  readonly afters: readonly string[];
}

/** Pages of a list; where `of` changes, such as what is searched for, the first one is shown again. */
export function usePaging(of = ''): Paging {
  const [at, setAt] = useState<{ of: string; afters: readonly string[] }>({ of, afters: [] });
  const afters = at.of === of ? at.afters : [];
  return { after: afters.at(-1) ?? null, afters, set: (next) => setAt({ of, afters: next }) };
}

/** Leads to the pages before and after this one. Whoever goes there is taken to the beginning of the list. */
export function Pager({ of, info, back = t('Back'), on = t('Show more') }: {
  of: Paging;
  info: { hasNextPage: boolean; endCursor?: string | null | undefined };
  back?: string;
  on?: string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const show = (afters: readonly string[]) => {
    of.set(afters);
    place.current?.closest<HTMLElement>('.card')?.focus();
  };
  const { endCursor } = info;
  return (
    <div className="actions" ref={place}>
      {of.afters.length > 0 ? <Button onPress={() => show(of.afters.slice(0, -1))}>{back}</Button> : null}
      {info.hasNextPage && endCursor ? <Button onPress={() => show([...of.afters, endCursor])}>{on}</Button> : null}
    </div>
  );
}

/** Something long to be told to somebody else, and a button that takes it along. */
export function Copyable({ text, label }: { text: string; label: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = () => void navigator.clipboard.writeText(text).then(() => setCopied(true), () => {});
  return (
    <>
      <code>{text}</code>{' '}
      {'clipboard' in navigator ? <Button kind="quiet" aria-label={label} onPress={copy}>{t('Copy')}</Button> : null}
      <span role="status" className="small">{isCopied ? t('Copied.') : ''}</span>
    </>
  );
}

/** What is shown once it is unfolded, and asked for then, where it is asked for. */
export function Folded({ label, children }: { label: string; children: ReactNode }) {
  const [isUnfolded, setUnfolded] = useState(false);
  return (
    <details onToggle={(event) => event.currentTarget.open && setUnfolded(true)}>
      <summary>{label}</summary>
      {isUnfolded ? children : null}
    </details>
  );
}

/** A text as it was written by a program. */
export function Verbatim({ text }: { text: string }) {
  return <pre className="document" tabIndex={0}>{text}</pre>;
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

/** Names and values; what has no value is left out. */
export function Facts({ of }: { of: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {of.filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== false).map(([name, value]) => (
        <div key={name}><dt>{name}</dt><dd>{value}</dd></div>
      ))}
    </dl>
  );
}

export function Table({ caption, head, rows }: { caption: string; head: readonly string[]; rows: readonly { key: string; cells: readonly ReactNode[] }[] }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption className="hidden">{caption}</caption>
        <thead><tr>{head.map((text) => <th key={text} scope="col">{text}</th>)}</tr></thead>
        <tbody>
          {rows.map(({ key, cells }) => <tr key={key}>{cells.map((cell, index) => <td key={index} data-label={head[index]}>{cell}</td>)}</tr>)}
        </tbody>
      </table>
    </div>
  );
}

export function save(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
