// Turns off that pages renew themselves, and on again.
import { isLive, setLive } from '../api/live';
import { useStore } from '../api/store';
import { t } from '../words';
import { Check } from '.';

export function LiveChoice() {
  return <Check isSelected={useStore(isLive)} onChange={setLive}>{t('Renew pages by themselves')}</Check>;
}
