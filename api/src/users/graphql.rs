//! Accounts in the schema.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{ids::UserId, users};
use store::users::UserFilter;
use uuid::Uuid;

use super::{list, log_in, register, set_role};
use crate::{
    app::App,
    error::Error,
    graphql::{app, enums::Role, loaders, request, scalars::Address, visit},
    page::{self, Connection, Cursor},
    second_factor::demand::Code,
};

/// A person with an account. Address and name are shown to themselves and, masked, to administrators;
/// others see the user name and the role.
#[derive(Debug, Clone)]
pub(crate) struct User {
    user: Arc<users::User>,
    contact: Contact,
}

/// How much of the e-mail address is shown.
#[derive(Debug, Clone, Copy)]
enum Contact {
    Whole,
    Masked,
    Hidden,
}

impl User {
    /// As oneself sees it.
    pub(crate) fn own(user: users::User) -> Self {
        Self {
            user: Arc::new(user),
            contact: Contact::Whole,
        }
    }

    /// As an administrator sees it.
    pub(crate) fn masked(user: users::User) -> Self {
        Self {
            user: Arc::new(user),
            contact: Contact::Masked,
        }
    }

    /// As those see it who meet the name in a record or a log.
    pub(crate) fn named(user: Arc<users::User>) -> Self {
        Self {
            user,
            contact: Contact::Hidden,
        }
    }

    /// Fetches an account through the loader.
    pub(crate) async fn load(ctx: &Context<'_>, id: UserId) -> Result<Self, Error> {
        let user = loaders(ctx)?
            .user(id)
            .await?
            .ok_or(Error::NotFound("user"))?;
        Ok(Self::named(user))
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of_moment(self.user.created_at, self.user.id.0)
    }
}

/// A person with an account. Address and name are shown to themselves and, masked, to administrators;
/// others see the user name and the role.
#[Object]
impl User {
    /// Who.
    async fn id(&self) -> Uuid {
        self.user.id.0
    }

    /// Where mail reaches them; masked for administrators, null for others.
    async fn email(&self) -> Option<String> {
        match self.contact {
            Contact::Whole => Some(self.user.email.clone()),
            Contact::Masked => Some(mask(&self.user.email)),
            Contact::Hidden => None,
        }
    }

    /// What they call themselves.
    async fn username(&self) -> &str {
        &self.user.username
    }

    /// What the account may be used for.
    async fn role(&self) -> Role {
        self.user.role.into()
    }

    /// False once deactivated.
    async fn is_active(&self) -> bool {
        self.user.is_active
    }

    /// A linked wallet; null for others.
    async fn blockchain_address(&self) -> Option<Address> {
        match self.contact {
            Contact::Whole => self.user.blockchain_address.clone().map(Address),
            Contact::Masked | Contact::Hidden => None,
        }
    }

    /// When the account was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.user.created_at
    }
}

/// The first letter and the domain: enough to recognise, too little to write to.
fn mask(email: &str) -> String {
    let (local, host) = email.split_once('@').unwrap_or((email, ""));
    format!("{}***@{host}", local.chars().next().unwrap_or('*'))
}

#[derive(Default)]
pub(crate) struct UserQuery;

#[Object]
impl UserQuery {
    /// The account that is logged in.
    async fn me(&self, ctx: &Context<'_>) -> Result<User> {
        let (app, caller) = request(ctx)?;
        Ok(User::own(list::own(app, &caller).await?))
    }

    /// Every account, newest first. Needs the role ADMIN.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
        #[graphql(desc = "Only accounts of this role.")] role: Option<Role>,
        #[graphql(desc = "Only accounts whose user name begins with this.")] search: Option<String>,
    ) -> Result<Connection<User>> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        let from = after.as_ref().map(Cursor::moment).transpose()?;
        let filter = UserFilter {
            role: role.map(Into::into),
            username_prefix: search,
        };
        let from = from.map(|(at, id)| (at, UserId(id)));
        let users = list::list(app, &caller, &filter, from, size).await?;
        let users = users.into_iter().map(User::masked).collect();
        Ok(Connection::new(users, size, after.is_some(), User::cursor))
    }
}

/// A new account.
#[derive(Debug, InputObject)]
pub(crate) struct RegisterInput {
    /// Where mail reaches you.
    email: String,
    /// 3 to 50 letters, digits, dots, hyphens or underscores.
    username: String,
    /// At least 12 characters.
    password: String,
}

/// The new account.
#[derive(Debug, SimpleObject)]
pub(crate) struct RegisterPayload {
    /// The account, a patient's.
    user: User,
}

/// Who logs in.
#[derive(Debug, InputObject)]
pub(crate) struct LogInInput {
    /// The e-mail address or the user name.
    login: String,
    /// The password.
    password: String,
    /// A code of the second factor, or a recovery code; asked for by `SECOND_FACTOR_REQUIRED`.
    code: Option<String>,
}

/// A session.
#[derive(Debug, SimpleObject)]
pub(crate) struct LogInPayload {
    /// Send it with every request: `Authorization: Bearer <accessToken>`.
    access_token: String,
    /// Until when it is good.
    expires_at: DateTime<Utc>,
    /// Who is logged in.
    user: User,
}

impl From<log_in::LoggedIn> for LogInPayload {
    fn from(session: log_in::LoggedIn) -> Self {
        Self {
            access_token: session.access_token,
            expires_at: session.expires_at,
            user: User::own(session.user),
        }
    }
}

/// Who becomes what.
#[derive(Debug, InputObject)]
pub(crate) struct SetRoleInput {
    /// Whose role.
    user_id: Uuid,
    /// PATIENT or DOCTOR.
    role: Role,
}

/// The account with its new role.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetRolePayload {
    /// The account.
    user: User,
}

#[derive(Default)]
pub(crate) struct UserMutation;

#[Object]
impl UserMutation {
    /// Makes an account. Everybody begins as a patient.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new account.")] input: RegisterInput,
    ) -> Result<RegisterPayload> {
        let (app, visit): (&App, _) = (app(ctx)?, visit(ctx)?);
        let user =
            register::register(app, visit, &input.email, &input.username, input.password).await?;
        Ok(RegisterPayload {
            user: User::own(user),
        })
    }

    /// Logs in with a password.
    async fn log_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who logs in.")] input: LogInInput,
    ) -> Result<LogInPayload> {
        let (app, visit): (&App, _) = (app(ctx)?, visit(ctx)?);
        let code = Code(input.code);
        let session = log_in::log_in(app, visit, &input.login, input.password, &code).await?;
        Ok(session.into())
    }

    /// Makes a patient a doctor, or a doctor a patient. Needs the role ADMIN.
    async fn set_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who becomes what.")] input: SetRoleInput,
    ) -> Result<SetRolePayload> {
        let (app, caller) = request(ctx)?;
        let user =
            set_role::set_role(app, &caller, UserId(input.user_id), input.role.into()).await?;
        Ok(SetRolePayload {
            user: User::masked(user),
        })
    }
}
