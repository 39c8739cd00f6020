import type { Texts } from '../texts'

const UNASKED = 'Se não foi você, ignore este e-mail: nada muda.'
const NOT_ME = 'Se não foi você, outra pessoa pode ter a sua senha: escolha uma nova agora.'
const NEW_PASSWORD = 'Escolher uma nova senha'
const once = (validity: string) => `O link funciona uma única vez e vale por ${validity}.`
const counted = (count: number, unit: string) => `${count} ${unit}${count === 1 ? '' : 's'}`

export const portuguese: Texts = {
  language: 'pt-BR',
  greeting: (name) => `Olá, ${name},`,
  otherwise: 'Se o botão não funcionar, abra este endereço:',
  footer: 'A Evo AI enviou este e-mail por causa de algo que foi feito com o seu endereço. Ninguém lê as respostas a ele.',
  minutes: (count) => counted(count, 'minuto'),
  hours: (count) => counted(count, 'hora'),
  mails: {
    'verify-email': ({ validity }) => ({
      subject: 'Verificação de e-mail - Evo AI',
      heading: 'Confirme o seu endereço de e-mail',
      paragraphs: ['obrigado por se cadastrar. Confirme que este endereço é seu para ativar a sua conta.'],
      button: 'Confirmar endereço',
      note: `${once(validity)} ${UNASKED}`,
    }),
    'reset-password': ({ validity }) => ({
      subject: 'Redefinição de senha - Evo AI',
      heading: 'Escolha uma nova senha',
      paragraphs: ['alguém pediu uma nova senha para a sua conta.'],
      button: 'Escolher uma senha',
      note: `${once(validity)} ${UNASKED}`,
    }),
    welcome: () => ({
      subject: 'Boas-vindas à Evo AI',
      heading: 'Boas-vindas à Evo AI',
      paragraphs: [
        'o seu endereço foi confirmado e a sua conta está ativa. Defina um agente, dê a ele um modelo e ferramentas e converse com ele.',
      ],
      button: 'Abrir a Evo AI',
    }),
    'already-registered': () => ({
      subject: 'Você já tem uma conta - Evo AI',
      heading: 'Você já tem uma conta',
      paragraphs: ['alguém tentou se cadastrar com o seu endereço, que já tem uma conta. Entre, ou peça lá uma nova senha.'],
      button: 'Abrir a Evo AI',
      note: UNASKED,
    }),
    'change-email': ({ validity }) => ({
      subject: 'Confirme o seu novo endereço - Evo AI',
      heading: 'Confirme o seu novo endereço',
      paragraphs: ['este endereço deve tomar o lugar daquele que a sua conta tem agora. Confirme que ele é seu.'],
      button: 'Confirmar endereço',
      note: `${once(validity)} ${UNASKED}`,
    }),
    'email-change-requested': ({ newEmail }) => ({
      subject: 'O seu endereço está para mudar - Evo AI',
      heading: 'O seu endereço está para mudar',
      paragraphs: [
        `alguém que conhece a sua senha pediu para entrar com ${newEmail} em vez deste endereço a partir de agora.`,
        'Se não foi você, escolha uma nova senha agora, antes que o outro endereço seja confirmado.',
      ],
      button: NEW_PASSWORD,
    }),
    'account-locked': ({ attempts, lockedFor }) => ({
      subject: 'Alerta de segurança - conta bloqueada',
      heading: 'A sua conta está bloqueada por um tempo',
      paragraphs: [
        `alguém informou uma senha ou um código errado para a sua conta ${attempts} vezes. Ninguém pode entrar de lá por ${lockedFor}.`,
        'Você pode entrar de imediato se escolher uma nova senha.',
      ],
      button: NEW_PASSWORD,
    }),
    'second-factor-changed': () => ({
      subject: 'O seu segundo fator foi alterado - Evo AI',
      heading: 'O seu segundo fator foi alterado',
      paragraphs: ['o segundo fator da sua conta, ou os códigos que o substituem, foi configurado, renovado ou removido.', NOT_ME],
      button: NEW_PASSWORD,
    }),
    'password-changed': () => ({
      subject: 'A sua senha foi alterada - Evo AI',
      heading: 'A sua senha foi alterada',
      paragraphs: ['a senha da sua conta foi alterada, e todas as outras sessões foram encerradas.', NOT_ME],
      button: NEW_PASSWORD,
    }),
    'new-sign-in': ({ address, device, moment }) => ({
      subject: 'Novo acesso à sua conta - Evo AI',
      heading: 'Novo acesso à sua conta',
      paragraphs: [`alguém entrou na sua conta a partir de ${address} com ${device} em ${moment}, como nunca antes.`, NOT_ME],
      button: NEW_PASSWORD,
    }),
    'budget-reached': ({ clientName, spent, limit }) => ({
      subject: 'Orçamento atingido - Evo AI',
      heading: 'O seu orçamento foi atingido',
      paragraphs: [
        `os agentes de ${clientName} gastaram ${spent} de ${limit}.`,
        'Quando o orçamento acabar, as execuções serão recusadas até que ele seja aumentado ou o próximo período comece.',
      ],
      button: 'Abrir a Evo AI',
    }),
    invitation: ({ clientName, validity }) => ({
      subject: 'Convite para a Evo AI',
      heading: 'Você foi convidado',
      paragraphs: [`${clientName} convida você a trabalhar nos seus agentes. Escolha um nome e uma senha para participar.`],
      button: 'Aceitar o convite',
      note: `${once(validity)} Se você não sabe quem é, ignore este e-mail.`,
    }),
  },
}
